"""What an operator sees from outside: metrics of all processes together, and traces through them.

Knows neither the web nor mathematics nor rows: what is counted and timed is told to it.
"""
