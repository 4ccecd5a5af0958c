"""Paillier over packed rows: keys that interchange with `phe`, encryption, group sums, slots, proofs. Integers only.

Nothing here touches a disk or a network. Secrets leave only through `PrivateKey.export_secret` and
`PrivateKey.to_phe`; a sum leaves a party only through `answer.prepare`, masked and re-randomised.

numbers        little-endian rows ↔ integers: the one form in which numbers enter and leave
primes         primes of a known form, generators that are proved
keys           PublicKey, PrivateKey, generate, check_public
residues       random n-th residues, by the owner and by others
cipher         encrypt, add, sum_groups, rerandomise, decrypt, check_ciphertexts
slots, cells   several bounded integers in one plaintext; one-hot cells of counts and amounts; masks
answer         the three steps of a two-party answer
modulus_proof  a peer's modulus is a Paillier-Blum modulus

Python objects, gmpy2 and secrets: nothing here is constant-time as a whole. Secret exponents of decryption and of
the modulus proof go through `powmod_sec`; what remains open to a neighbour who watches time or cache is the
reduction and recombination around them, key generation, and table look-ups by one-time random exponents.
gmpy2 holds the GIL, so threads give nothing: a party's process uses one core.
"""
