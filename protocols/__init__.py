"""The cryptographic protocols: plain functions over a Channel. No disk, no network, no knowledge of rooms."""
