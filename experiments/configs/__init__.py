"""One config file a use; each docstring gives the command, the expected time and the expected score."""
