"""Campaigns: a random holdout committed before anything is sent, outcomes as columns, lift from one release."""
