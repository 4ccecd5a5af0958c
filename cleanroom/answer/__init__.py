"""From a match to an answer: each party's role in summing, opening, thresholding and releasing.

Nothing leaves here that the rules of release did not pass, and nothing is computed before it is debited.
"""
