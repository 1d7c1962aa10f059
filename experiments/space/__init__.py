"""The page that shows a trained space: what it shows, how that is packed, and the page."""
