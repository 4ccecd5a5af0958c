"""Who may do what at a party's node: its own people, and others that act in its name within a signed grant."""
