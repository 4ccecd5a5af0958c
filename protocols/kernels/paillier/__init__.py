"""Numbers modulo N² in eight lanes: AVX512-IFMA code for batches of Paillier ciphertexts; gmpy2 is its portable twin.

tiles    five limbs by five limbs of eight numbers at once: what LLVM is told
dual     products and reductions of pairs that stand for numbers modulo N²
powers   entries of tables, powers
rows     rows of bytes ↔ limbs, sums with their carries, least residues

Call a kernel only where `target.has("avx512f", "avx512ifma")`: elsewhere LLVM ends the process.

Each kernel is one operation on many numbers, compiled once for keys of all sizes; what encryption or decryption is
made of stands in `protocols.paillier.lanes`, in Python. No address and no branch in the sources depends on the limbs,
digits or exponents that a kernel is given: tables are read whole, and entries taken by permutation in registers or by
products with 0 and 1. LLVM promises nothing of the kind for what it makes of them. Looked at, and held by a test: the
machine code of both look-ups has neither gathered nor masked loads. Not looked at: the rest of it, and whether the
processor's multiplications take equal time (Intel lists VPMADD52 among those that do).
"""


def warm() -> None:
    """Compile every kernel, or load it from the cache; nothing where the target cannot run them."""
    from protocols.kernels.target import has

    if has("avx512f", "avx512ifma"):
        from protocols.kernels.paillier import dual, powers, rows

        for module in (dual, powers, rows):
            module.warm()
