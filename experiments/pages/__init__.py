"""What the pages have in common: packing, building, their look and their elements."""
