"""The context of one mount's tree: what every handler of a node works with.

It owns nothing but these references, and the layout of offsets in a folder. It must not know the kernel.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache

from cffs.catalog.account_sync import AccountSync
from cffs.catalog.capabilities import Family
from cffs.catalog.listing_sync import ListingSync
from cffs.catalog.row_completion import RowCompletion
from cffs.catalog.store import Catalog
from cffs.core.settings import TreeSettings
from cffs.core.source import Api, Source
from cffs.core.values import RecordingState
from cffs.notes.account_notes import AccountNotes
from cffs.reader.first_piece import FirstPieces
from cffs.reader.object_info import Known
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.contents import Entry, Remote
from cffs.tree.nodes import Node
from cffs.tree.render_cache import RenderCache
from cffs.writer.account_actions import AccountActions
from cffs.writer.uploads import Uploads

#: Offsets below this are for a folder's fixed entries; the entries of rows lie above, eight to a row.
FIRST_ROW_OFFSET = 64
_ENTRIES_A_ROW = 8
_KEPT_SELECTIONS = 8


def _no_kernel(_folder: Node, _name: str) -> None:
    """Without a kernel no name is kept anywhere."""


@dataclass(slots=True)
class SearchNote:
    """Why the last name in search/ was not a search, for a user who only sees "no such file"; "" where it was one."""

    text: str = ""

    def lines(self) -> list[str]:
        """The lines that `cffs status` shows."""
        return [f"search: {self.text}"] if self.text else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the handlers of nodes work with. `objects` is asked for sizes and versions, which the catalogue learns."""

    account: AccountSync
    listings: ListingSync
    completion: RowCompletion
    catalog: Catalog
    settings: TreeSettings
    objects: ObjectRegistry
    own_files: Mapping[str, Callable[[], bytes]]
    actions: AccountActions
    #: (key, sources, what is known) -> the digest of an object that is wholly cached, else None.
    digest: Callable[[str, tuple[Source, ...], Known], Awaitable[str | None]] | None = None
    #: (folder, name): the kernel must look that name up again. Never a checkpoint; allowed inside a handler.
    name_changed: Callable[[Node, str], None] = _no_kernel
    is_writable: bool = False
    #: Where the mount is, for files that name its paths.
    mountpoint: str = ""
    #: None where media cannot be written: on a read-only mount, or without v2.
    uploads: Uploads | None = None
    #: None where no notes are kept.
    notes: AccountNotes | None = None
    render_cache: RenderCache = field(default_factory=RenderCache)
    #: Whether an API refuses the credentials, as far as is known now.
    is_refused: Callable[[Api], bool] = lambda _api: False
    #: What the last searches selected, by their names, and in which state of the rows (`tree/search`): a listing is
    #: read page by page.
    selections: LRUCache[str, tuple[Hashable, tuple[int, ...]]] = field(
        default_factory=lambda: LRUCache(_KEPT_SELECTIONS)
    )
    #: The day in the zone of names: draws by lot hold for one.
    today: Callable[[], str] = lambda: ""
    search_note: SearchNote = field(default_factory=SearchNote)

    @property
    def v2_lists_calls(self) -> bool:
        """False where there is no v2, where it has no listing of calls, or where it refuses the login."""
        has_list = self.account.v2 is not None and self.account.capabilities.offers(Family.CALLS) is not False
        return has_list and not self.is_refused(Api.V2)

    @property
    def can_deny_calls(self) -> bool:
        """True where v2 can say whether a call of some id exists."""
        return self.account.v2 is not None and self.account.capabilities.offers(Family.CALLS) is not False

    @property
    def can_tell_states(self) -> bool:
        """True where v2 can be asked whether a recording is still being made."""
        return self.can_deny_calls and not self.is_refused(Api.V2)

    @property
    def first_pieces(self) -> FirstPieces:
        """Where objects that no listing holds are first asked for."""
        return self.objects.first_pieces

    def known(self, remote: Remote) -> Known | None:
        """What the catalogue knows of the object, as something to open it with; None where its size is not known."""
        return known_of(self.catalog, remote.key, remote.sources)

    def forget_bytes(self, key: str) -> None:
        """Drop bytes that turned out not to be the whole object."""
        self.objects.forget(key)

    @property
    def only_v1_answers(self) -> bool:
        """True where v2 refuses the login and v1 does not refuse the key: v1's answers then stand for both."""
        return self.account.v1 is not None and self.is_refused(Api.V2) and not self.is_refused(Api.V1)

    async def require_remote(self, remote: Remote) -> None:
        """Return once the origin is known to have the object. One request at most, for its first piece; none where it
        answered before, nor for a recording in progress, whose bytes must not be remembered.

        Raises RemoteObjectMissing, or what stops an answer.
        """
        if self.is_known(remote):
            return

        async def question() -> None:
            # once more: a neighbour's request may have brought the answer before this one's turn came
            if not self.is_known(remote):
                await self.first_pieces.look(remote.key, remote.sources, is_settled=True)

        await self.account.ask_anything(("object", remote.key), remote.sources[0].api, question, patience_seconds=None)

    def is_known(self, remote: Remote) -> bool:
        """True where `require_remote` would send no request."""
        if remote.state is RecordingState.RECORDING:
            return True
        fact = self.catalog.fact(remote.key)
        # of a changed object nothing is known but that it has changed
        return fact is not None and (fact.nbytes is not None or not fact.version)


def known_of(catalog: Catalog, key: str, sources: tuple[Source, ...] = ()) -> Known | None:
    """What the catalogue knows of an object, with the one of its sources that answered, if that is among `sources`;
    None where its size is not known."""
    fact = catalog.fact(key)
    if fact is None or fact.nbytes is None:
        return None
    source = next((source for source in sources if source.key == fact.source), None)
    return Known(total_nbytes=fact.nbytes, validator=fact.validator, source=source, last_modified_ns=fact.modified_ns)


def row_offset(seq: int, slot: int) -> int:
    """The offset of the `slot`-th entry that row `seq` makes."""
    return FIRST_ROW_OFFSET + seq * _ENTRIES_A_ROW + slot


def seq_before(offset: int) -> int:
    """The sequence number after which rows may still have entries past `offset`."""
    return max(0, (offset - FIRST_ROW_OFFSET) // _ENTRIES_A_ROW - 1)


def past(entries: list[Entry], offset: int) -> list[Entry]:
    """The entries whose offset is greater than `offset`."""
    return [entry for entry in entries if entry.offset > offset] if offset else entries


def fixed(*named: tuple[str, Node]) -> list[Entry]:
    """The entries that a folder always has, in the order given."""
    return [Entry(number, name, node) for number, (name, node) in enumerate(named, start=1)]
