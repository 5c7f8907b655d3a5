"""Policies: what they are, how a step adapts one to its rollouts, and how they are meta-trained
(Finn et al. 2017, Algorithm 3). NumPy and torch; no environment is known by its name here.
"""
