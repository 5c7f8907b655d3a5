"""Environments that policies are meta-trained in: episodes of many tasks in lockstep, as NumPy
arrays. They know no torch; MuJoCo and Gymnasium are loaded by those who open one.
"""
