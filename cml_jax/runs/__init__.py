"""One run: its config, files, reports, checkpoints and result, and the training loop of one run or several."""
