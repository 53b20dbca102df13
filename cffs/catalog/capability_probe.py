"""A probe for the operations that this origin offers.

Owns the requests that find out, one a family and mount. An object that is answered 404 may be missing, or its operation
may be: an origin may have only the operations of the two public documents. The listing of the same family decides.

It must not know single objects, nor when a mount starts.
"""

from functools import partial

from cffs.callfire.v2 import V2Client
from cffs.catalog import bulk_upserts
from cffs.catalog.capabilities import Capabilities, Family
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.errors import OperationNotOffered
from cffs.core.source import Api

#: The documented page: large enough for the campaigns of most accounts, and never refused.
_PAGE_LIMIT = 100


class CapabilityProbe:
    """Asks `v2`, and keeps what it learns in `capabilities`; the campaigns that come go to the rows."""

    def __init__(
        self, *, v2: V2Client, single_flight: SingleFlight, capabilities: Capabilities, catalog: Catalog
    ) -> None:
        self._v2 = v2
        self._single_flight = single_flight
        self._capabilities = capabilities
        self._catalog = catalog

    def begin(self, family: Family) -> None:
        """Ask in the background, unless an answer has shown it. No checkpoint."""
        if self._capabilities.offers(family) is None:
            self._single_flight.begin(("offered", family), Api.V2, partial(self._ask, family))

    async def require(self, family: Family) -> None:
        """Raise OperationNotOffered where the origin does not have the family; asked unless an answer has shown it.

        Raises what stops an answer. A checkpoint where it asks; cancelled, the question goes on.
        """
        if self._capabilities.offers(family) is None:
            question = partial(self._ask, family)
            await self._single_flight.ask(("offered", family), Api.V2, question, patience_seconds=None)
        if self._capabilities.offers(family) is False:
            raise OperationNotOffered(f"this origin has no {family}")

    def note_answer(self, family: Family) -> None:
        """An operation of the family has answered: it is there."""
        if self._capabilities.offers(family) is None:
            self._capabilities.note(family, is_offered=True)

    async def _ask(self, family: Family) -> None:
        try:
            if family is Family.CALLS:
                await self._v2.find_calls(limit=1, offset=0)
            else:
                campaigns = await self._v2.find_campaigns(limit=_PAGE_LIMIT, offset=0)
                await self._catalog.write(lambda db: bulk_upserts.put_campaigns(db, campaigns.items))
        except OperationNotOffered:
            self._capabilities.note(family, is_offered=False)
            # such an origin mostly has the two documents' operations alone: the next question need not wait for that
            self.begin(Family.CALLS)
        else:
            self._capabilities.note(family, is_offered=True)
