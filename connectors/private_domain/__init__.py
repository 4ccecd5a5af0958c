"""A platform's private domain: its events and users folded to the standard columns, on their owner's own side."""
