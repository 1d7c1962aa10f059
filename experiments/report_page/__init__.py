"""The page report.html: what it shows, from the same functions as report.md, and how it is made."""
