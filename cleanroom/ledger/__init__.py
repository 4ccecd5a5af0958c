"""Receipts and ledgers: what a party can prove, afterwards, of what it did and of what others said to it.

Only digests, rule names, sizes of released tables and names from contracts stand here; the one thing with data in it, a
stored answer, is sealed by its party's own key.
"""
