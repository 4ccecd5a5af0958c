"""Sources of data: files, tables, databases, platform events; identity profiles; what becomes of each row.

No cryptography here (a profile's public digest is part of how an identity is written), nothing of rooms or contracts,
and never a value of the data in an error.
"""
