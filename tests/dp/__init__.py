"""An audit of the noise: whether releases of neighbouring data sets can be told apart more often than is claimed.

`make test-dp` runs all of it (`__main__`), the ordinary suite a little (`tests/privacy/test_noise.py`).
"""
