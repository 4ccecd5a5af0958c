"""A party's datasets at rest: encrypted columns in signed versions, and the forgetting of persons.

Nothing plain of the data is ever written; nothing is visible before it is whole; nothing is read before its manifest
verifies.
"""

from cleanroom.vault.identities import DIGEST, Identity
from cleanroom.vault.manifest import Manifest, StoredColumn, StoredFile
from cleanroom.vault.parts import Finish
from cleanroom.vault.vault import Forgotten, Vault

__all__ = ["DIGEST", "Finish", "Forgotten", "Identity", "Manifest", "StoredColumn", "StoredFile", "Vault"]
