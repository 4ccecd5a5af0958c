"""Identity profiles: how a phone, an e-mail address, an openid or a device id is written before it is digested.

Each profile is named and versioned, and its vectors stand beside it. Digests and canonical texts stay with their
owner; nothing here names a value in an error.
"""

from connectors.identity.names import Loss, Repair
from connectors.identity.profiles import DEFAULT_PROFILE, Normalised, Profile, every_digest, profile
from connectors.identity.shapes import shapes

__all__ = ["DEFAULT_PROFILE", "Loss", "Normalised", "Profile", "Repair", "every_digest", "profile", "shapes"]
