"""A pendulum that is to be held at an angle it is not told, as an environment of Fewstep."""
