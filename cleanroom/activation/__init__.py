"""What becomes of a crowd at the party that addresses its own people, and what the merchant's coupons come to.

The crowd's members are kept sealed; who of them is addressed is settled when they are. The other side learns a range.
"""
