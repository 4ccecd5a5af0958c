"""The gate: an analyst's SQL becomes a question in the contract's own terms, or is refused at its position.

Nothing of the text goes further than here. What leaves is an `Ask`, frozen and canonical; the SQL that an enclave runs
is made anew from it. No data is read, and no word of the text but names and declared labels is kept.
"""
