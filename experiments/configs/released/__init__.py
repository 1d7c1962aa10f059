"""What the released code of Tran et al. 2019 did, which is not what the paper says; see RESULTS.md."""
