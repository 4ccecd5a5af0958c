"""Compiled kernels: numba code, and nothing but arithmetic on arrays that the caller owns.

Every function that numba compiles stands in this folder, so that one digest of its sources tells whether a compile
cache is stale. No kernel draws randomness, knows a message or raises for what a peer sent: callers check before and
after. What needs an instruction that a machine may lack has a portable twin with equal bytes; `target.has` chooses by
what numba compiles for. Import modules of this folder only where they are used: numba takes half a second to load.
"""

SMALL_ROWS = 2_000
"""Rows of the larger side up to which nothing here is loaded: libsodium and the standard library do it at once. A
match adds its canaries to them."""
