"""The screens: each turns a request into calls of the packages below, and their plain answers into a page.

None computes a figure, and none reads the vault's rows.
"""
