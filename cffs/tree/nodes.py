"""What a name of the tree stands for: nodes, the entries of folders, and the contents of files, as values.

It must not know how they are found.
Every module of `tree/` makes them, `fuse/` shows them. Those that a listing makes for each entry are named tuples,
which are made in C.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from cffs.core.source import Source
from cffs.core.values import RecordingState


class Kind(Enum):
    """Every kind of node; `tree/routes` says where it stands, `tree/handler_table` what it does."""

    # its members are the only ones of their kind; Enum's own hashes the name, in Python, several times an entry
    __hash__ = object.__hash__

    ROOT = auto()
    #: What a name stands for that was answered as there before anybody knew, and of which only the answer tells which
    #: of its kind it is.
    UNPROVEN_FOLDER = auto()
    UNPROVEN_FILE = auto()
    README = auto()
    CAMPAIGNS = auto()
    CAMPAIGN = auto()
    CAMPAIGN_JSON = auto()
    CAMPAIGN_CALLS = auto()
    CALL = auto()
    CALLS = auto()
    CALL_MONTH = auto()
    LONE_CALL = auto()
    CALL_JSON = auto()
    MP3 = auto()
    WAV = auto()
    RECORDING_JSON = auto()
    RECORDINGS = auto()
    DYNAMIC = auto()
    DYNAMIC_HASH = auto()
    DYNAMIC_YEAR = auto()
    DYNAMIC_MONTH = auto()
    DYNAMIC_CAMPAIGN = auto()
    DYNAMIC_FILE = auto()
    MEDIA = auto()
    MEDIA_FILE = auto()
    MEDIA_RAW = auto()
    MEDIA_JSON = auto()
    MEDIA_BY_NAME = auto()
    MEDIA_PUBLIC = auto()
    MEDIA_PUBLIC_FILE = auto()
    UPLOAD = auto()
    ME = auto()
    ACCOUNT_JSON = auto()
    BILLING = auto()
    PLAN_USAGE_JSON = auto()
    CREDIT_USAGE_JSON = auto()
    CREDIT_USAGE = auto()
    CREDIT_USAGE_INTERVAL_JSON = auto()
    CALLER_IDS = auto()
    CALLER_ID = auto()
    VERIFICATION_CODE = auto()
    ME_API = auto()
    CREDENTIALS = auto()
    CREDENTIAL_JSON = auto()
    CREATED_CREDENTIAL = auto()
    CREATED_CREDENTIAL_JSON = auto()
    BY_DATE = auto()
    YEAR = auto()
    MONTH = auto()
    DAY = auto()
    BY_NUMBER = auto()
    ONE_NUMBER = auto()
    BY_LABEL = auto()
    ONE_LABEL = auto()
    SEARCHES = auto()
    SEARCH_README = auto()
    SEARCH = auto()
    PLAYLIST = auto()
    MOMENT = auto()
    MANIFEST = auto()
    OWN = auto()
    OWN_FILE = auto()


#: How a path spells the folder of a campaign or call: as listings for people do, by its id in the same place, or by its
#: id where listings for people have none. Each is a folder of its own: the kernel gives a folder one place only.
LISTED, BY_ID, DIRECT = "listed", "by id", "direct"


class Node(NamedTuple):
    """One file or folder: its kind and what tells it from its like (ids, names as the API spells them).

    A file has the same node in every folder that shows it, and in every mount.
    """

    kind: Kind
    args: tuple[int | str, ...] = ()


#: How many arguments of a folder say what it shows; the others say how its path spells it.
_TELLING = {Kind.CAMPAIGN: 1, Kind.CAMPAIGN_CALLS: 1, Kind.CALL: 2, Kind.LONE_CALL: 1}


def shown_by(folder: Node) -> tuple[int | str, ...]:
    """The kind and ids of what the folder shows, the same for every way to spell it."""
    return (folder.kind.name, *folder.args[: _TELLING.get(folder.kind)])


class Remote(NamedTuple):
    """The content of a file whose bytes are the service's.

    `key` identifies the object in caches and facts; `sources` are tried in order until one has it; `hint_nbytes` is
    what a listing said of the size, already judged usable, or None. `seen_ms` is when its row was first seen.
    """

    key: str
    sources: tuple[Source, ...]
    hint_nbytes: int | None = None
    created_ms: int | None = None
    state: RecordingState = RecordingState.READY
    seen_ms: int | None = None


class Document(NamedTuple):
    """The content of a file rendered from what is known. `body` is None where it must be asked first, by `load`;
    `nbytes` is its size where that is known all the same."""

    body: bytes | None
    load: Callable[[], Awaitable[bytes]] | None = None
    nbytes: int | None = None
    modified_ms: int | None = None
    volatile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """The content of a file that is being written: its bytes lie on this machine, and change."""

    nbytes: int
    modified_ms: int | None = None


Content = Remote | Document | Spooled


class Folder(NamedTuple):
    """What stat shows of a folder: when the newest of what it holds was made; None where nothing tells."""

    modified_ms: int | None


class Entry(NamedTuple):
    """A folder's entry. `offset` is its place in the folder: ascending, stable for the life of the folder, > 0.

    `content` is what stat shows of it where the row that told the name told that too: a file's sources may be left out.
    None leaves it to be looked up.
    """

    offset: int
    name: str
    node: Node
    content: Content | Folder | None = None
