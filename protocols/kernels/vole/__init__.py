"""Kernels of the vole match: AES streams, folding, bit planes, OKVS rows and encoding, carry-less hashing, outputs.

Vectors over GF(64) are bit-sliced: 512 entries ("slots") a block, 6 planes of 8 words an element. These numbers are
everything that kernels and protocol share, so that the protocol can plan without numba.
"""

DEGREE = 6
FIELD = 1 << DEGREE
"""GF(64) = GF(2)[x] / (x^6 + x + 1)."""
SLOTS = 512
LANES = SLOTS // 64
"""64-bit words of a plane."""
LEAF_WORDS = DEGREE * LANES
"""Words of one element of all slots of a block."""
LEAF_BLOCKS = LEAF_WORDS // 2
"""AES blocks of the same."""
ROW_WORDS = 4
"""Words of a slot's elements of all coordinates, in a row."""
VALUE_OCTETS = 11
"""Of the value that a key is given: 84 bits."""
MOST_DENSE = 64
"""The most dense columns that a bin may have."""
