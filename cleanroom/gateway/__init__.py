"""The gateway: the Qipan open API at the merchant's own node, for code that was written against its published SDK."""
