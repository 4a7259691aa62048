"""Hyperparameter sweeps: a grid of runs, one after the other, without a server."""
