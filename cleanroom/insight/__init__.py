"""What a merchant can learn from its own data alone: exact figures, and a forecast that is tested on the past."""
