"""Grids of runs, for `experiments.sweep`."""
