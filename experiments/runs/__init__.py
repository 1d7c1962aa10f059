"""One run: its set-up, workdir, training loop, checks, scoring and summary."""
