"""A party's running software: its process, its home, the wires to its peers. Each party's memory is its own."""
