"""Paillier over packed rows: keys that interchange with `phe`, encryption, group sums, slots, proofs. Integers only.

Nothing here touches a disk or a network. Secrets leave only through `PrivateKey.export_secret` and
`PrivateKey.to_phe`; a sum leaves a party only through `answer.prepare`, masked and re-randomised.

numbers         little-endian rows ↔ integers: the one form in which numbers enter and leave
primes          primes of a known form, generators that are proved
keys            PublicKey, PrivateKey, generate, check_public
residues        random n-th residues, by the owner and by others; fixed_base has their powers by gmpy2
pools           residues drawn beforehand, each for one use
cipher          encrypt, add, sum_groups, rerandomise, decrypt, check_ciphertexts
backend         gmpy2 or kernels: lanes is cipher and residues eight numbers at a time, over rings of constants
slots, cells    several bounded integers in one plaintext; one-hot cells of counts and amounts; masks
answer          the three steps of a two-party answer
modulus_proof   a peer's modulus is a Paillier-Blum modulus

What a neighbour who watches time or cache may learn. With AVX512-IFMA, for large batches: secret exponents, entries of
tables and plaintexts decide no branch and no address in the sources of the kernels (see there for what was looked at
of their machine code). With gmpy2: secret exponents of decryption and of the
modulus proof go through `powmod_sec`; products, reductions and recombination around them take time that depends on
numbers, and encryption looks up tables at addresses that depend on exponents drawn for one use. With either: key
generation, constants modulo p² and q², and everything that Python does with a key.

The kernels run in threads on all cores; gmpy2 holds the GIL, and so one core.
"""
