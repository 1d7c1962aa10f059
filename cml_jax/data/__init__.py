"""Host side: files and generators to interactions, and their splits. Nothing in here is traced."""
