"""Grids of runs, and what is trained together."""
