"""The planning cube: one release a period, from which portraits, indices, trends and live counts are read for free."""
