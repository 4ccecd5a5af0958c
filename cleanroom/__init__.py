"""The clean room: contracts, vaults, matching, the enclave, releases, receipts. Knows connectors and protocols, never the CLI."""

__version__ = "0.1.0"
