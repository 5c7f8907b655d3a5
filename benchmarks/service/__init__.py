"""What the benchmarks of the running service share: services to measure, a client, clocks."""
