"""The rules of release: what may leave, decided by pure functions over counts.

Nothing here reads a file, a clock or a key. These rules are for noise-off rooms; noise, when it comes, is added to the
counts before `release_groups` sees them.
"""
