"""`cleanroom doctor`: whether this machine, this installation and this home are fit, and what to do where they are not.

Every check looks at one thing, says what it found, and what to do. Nothing is repaired here, no value of the data is
read, and what cannot be known here is said so.
"""
