"""The clean room: contracts, vaults, matching, the enclave, releases, receipts. Never calls the CLI.

For people at a notebook it is one import: `import cleanroom as cr`, then `cr.Room`, `cr.Dataset`, `cr.Crowd` and all
else that `cleanroom.api` names. They are loaded when they are first used, so that the command starts as fast as ever.
"""

from typing import Any

__version__ = "0.1.0"
_API = (
    "Answers", "Budget", "Campaign", "Chart", "Contract", "Crowd", "Dataset", "Diagnosis", "Figures", "Funnel",
    "Ledger", "Other", "Overlap", "Page", "Pool", "Portrait", "Priced", "Receipt", "Release", "Room", "Rule", "Tags",
    "Uploaded", "language",
)  # fmt: skip
"""As `cleanroom.api.__all__`, which a test holds equal."""


def __getattr__(name: str) -> Any:
    if name in _API:
        from cleanroom import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
