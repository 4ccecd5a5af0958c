"""The clean room: contracts, vaults, matching, the enclave, releases, receipts. Never calls the CLI."""

__version__ = "0.1.0"
