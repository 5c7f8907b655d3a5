"""A network and a task distribution that were added to Fewstep without touching it."""
