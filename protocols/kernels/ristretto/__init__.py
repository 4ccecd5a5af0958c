"""ristretto255 (RFC 9496) in batches: eight lanes of AVX512-IFMA, else one lane.

`words` (one folder up) emits instructions, `field25519` and `edwards25519` are formulas on them, `ristretto255`
decodes, encodes and maps, and multiplies rows by one secret scalar; `fixed_base` adds to each row its own secret
multiple of one public base. Both widths come from the same source and give equal bytes.

Side channels. Table look-ups read all entries of their place, with masks or by permutations within registers, so that
neither a branch nor an address depends on the scalars or the points. The conditional jumps of the machine code were
counted, and a test counts them again: loop counters and the public choice of operation only, on x86-64 with AVX-512
(eight lanes) and without (one lane). What remains: LLVM promises no constant time, and other targets were not looked
at; the 64-bit and 52-bit multipliers are taken to run in constant time; a scalar common to all rows becomes signed
digits by Python integers of fixed size, once a call; scalars, digits, tables and stack are not wiped. How many rows a
batch has is public, and so are `fixed_base`'s base and table.
"""
