"""Stands for a module of kernels: `warm` costs nothing here."""


def warm() -> None:
    """Nothing to compile."""
