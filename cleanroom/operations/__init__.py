"""What keeps a node running for months: backups and their restoring, upgrades, keys renewed, a room's assessment."""
