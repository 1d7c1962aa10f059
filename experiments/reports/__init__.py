"""Reports of finished runs: rows, comparison, tables and figures."""
