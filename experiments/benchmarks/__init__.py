"""Timings, and the sizes that they are made at."""
