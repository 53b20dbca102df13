"""Which operations this origin does not have at all, for the life of the mount.

It must not know how that was found out.
`catalog/account_sync` asks it before and tells it after every question (contract section 3: an origin that answers only
the two documents; a listing that answers 404, 405 or 501 marks its by-id forms missing too, until the next mount).
"""

from enum import StrEnum


class Family(StrEnum):
    """A listing with the by-id forms that stand and fall with it; those of the seed documents are in none."""

    CALLS = "calls"  # /calls, /calls/{id}, /calls/{id}/recordings, /calls/recordings/{id}[.mp3]
    BROADCASTS = "broadcasts"  # /calls/broadcasts, /calls/broadcasts/{id}
    MEDIA = "media"  # the listing /media alone: /media/{id} and its files are in the documents


class Offered:
    """What was found out so far: yes, no, or not known (None)."""

    def __init__(self) -> None:
        self._known: dict[Family, bool] = {}

    def get(self, family: Family) -> bool | None:
        """True or False once an answer of the listing told; None before."""
        return self._known.get(family)

    def set(self, family: Family, *, offered: bool) -> None:
        """Take what an answer of the listing told."""
        self._known[family] = offered
