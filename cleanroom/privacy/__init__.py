"""The rules of release: what may leave, decided by pure functions over counts.

Nothing here reads a file, a clock or a key. Noise, where it is on, is added to the counts before `release_groups` sees
them; what was drawn, and what it cost, the ledger keeps.
"""
