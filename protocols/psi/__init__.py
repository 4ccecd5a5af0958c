"""Private set intersection: which rows of two datasets are of the same person."""
