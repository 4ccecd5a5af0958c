"""`cleanroom bench`: how quick the protocols are on this machine, on made-up identities, in about a minute.

Every role runs in a process of its own over a socket, as in a room, but without vault, contract and receipt. Nothing
here may see a person's data: identities are digests of nobody, drawn from their numbers.
"""
