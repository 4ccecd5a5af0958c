"""Lining up two datasets: what each party prepares of its vault, and the runs of the protocols between them.

Only what the contract declares leaves the vault from here, and only as tokens or ciphertexts.
"""
