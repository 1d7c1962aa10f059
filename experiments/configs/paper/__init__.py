"""What the text of Tran et al. 2019 says; see RESULTS.md for what it leads to."""
