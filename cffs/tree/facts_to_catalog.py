"""The reader's listener: what answers say of objects goes to the catalogue.

Owns the way of a learned fact from the reader to `catalog/facts`. It must not know how a change is found, nor who has
bytes or names of an earlier version: the function for that is given to it.
"""

import logging
from collections.abc import Callable

from cffs.catalog.store import Catalog
from cffs.core.values import Emptiness
from cffs.reader.object_info import Known, Learned
from cffs.tree.context import known_of

log = logging.getLogger(__name__)


class FactsToCatalog:
    """The listener of one catalogue. No method is a checkpoint."""

    def __init__(self, catalog: Catalog, outdated: Callable[[str], None]) -> None:
        """`outdated` is called with the key of an object of which the origin has another version."""
        self._catalog = catalog
        self._outdated = outdated

    def known(self, key: str) -> Known | None:
        """What an answer said before, also one of an earlier mount; its source is left out."""
        return known_of(self._catalog, key)

    def emptiness(self, key: str) -> Emptiness:
        """What the metadata say of the object's having no bytes."""
        return self._catalog.emptiness(key)

    def learned(self, learned: Learned) -> None:
        """An answer gave size and validator. An object without bytes is not remembered: most often it is a mishap."""
        if learned.total_nbytes == 0:
            return
        self._catalog.learn(
            object_key=learned.key,
            source=learned.source.key,
            nbytes=learned.total_nbytes,
            validator=learned.validator,
            modified_ns=learned.last_modified_ns,
            is_known_version=learned.is_known_version,
        )

    def changed(self, key: str) -> None:
        """The origin has another version: what was known is forgotten, and `outdated` is called."""
        if self._catalog.unlearn(key):
            log.info("object changed at the origin object=%s", key)
        self._outdated(key)
