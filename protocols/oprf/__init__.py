"""The oblivious pseudo-random function of RFC 9497, ristretto255-SHA512, in batches, and what an epoch's key is worth.

Nothing here sends: `protocols.psi.oprf` does. A secret scalar leaves only through `Key.export_secret`.
"""
