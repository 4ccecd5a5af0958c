"""Crowds: whom one means, as rules with a version a day; lists that stay with their owner; sizes as ranges only."""
