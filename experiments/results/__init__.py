"""The tables of RESULTS.md: search spaces, baselines, kept numbers."""
