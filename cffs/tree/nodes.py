"""Nodes: what a name of the tree stands for, as a type for each kind of node.

It owns the kinds, and what identifies a node within its kind. It must not know how nodes are found, nor what they
hold.

A listing makes, hashes and compares nodes several times for each entry, so they are named tuples, which do that in C. A
named tuple equals any tuple with the same fields; the last field of a node is therefore its kind.
"""

from enum import Enum, auto
from typing import Final, Literal, NamedTuple


class Kind(Enum):
    """Every kind of node."""

    # Members are unique, so their identity is hash enough; Enum hashes the name, in Python, several times an entry
    __hash__ = object.__hash__

    ROOT = auto()
    #: A name that was promised, of which only the answer shows what it stands for.
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
    MOMENT = auto()  # a clip; digests of this name are inode numbers, which archives remember, so it stays
    NOTE = auto()
    TEMPORARY_NOTE = auto()
    MANIFEST = auto()
    INDEX_JSONL = auto()
    INDEX_CSV = auto()
    OWN = auto()
    OWN_FILE = auto()


#: How a path spells the folder of a campaign or call: as listings do, by its id in the same place, or by its id where
#: listings have none. Each is a folder of its own, since the kernel gives a folder one place only.
Way = Literal["listed", "by id", "direct"]
LISTED: Final = "listed"
BY_ID: Final = "by id"
DIRECT: Final = "direct"

#: The kinds of which there is one file or folder each.
FixedKind = Literal[
    Kind.ROOT,
    Kind.README,
    Kind.CAMPAIGNS,
    Kind.CALLS,
    Kind.RECORDINGS,
    Kind.DYNAMIC,
    Kind.MEDIA,
    Kind.MEDIA_BY_NAME,
    Kind.MEDIA_PUBLIC,
    Kind.ME,
    Kind.ACCOUNT_JSON,
    Kind.BILLING,
    Kind.PLAN_USAGE_JSON,
    Kind.CREDIT_USAGE_JSON,
    Kind.CREDIT_USAGE,
    Kind.CALLER_IDS,
    Kind.ME_API,
    Kind.CREDENTIALS,
    Kind.BY_DATE,
    Kind.BY_NUMBER,
    Kind.BY_LABEL,
    Kind.SEARCHES,
    Kind.SEARCH_README,
    Kind.OWN,
]


class FixedNode(NamedTuple):
    """A file or folder that is the only one of its kind."""

    kind: FixedKind


class CampaignNode(NamedTuple):
    """The folder of a campaign."""

    campaign_id: int
    way: Way
    kind: Literal[Kind.CAMPAIGN] = Kind.CAMPAIGN


class CampaignCallsNode(NamedTuple):
    """calls/ in the folder of a campaign."""

    campaign_id: int
    way: Way
    kind: Literal[Kind.CAMPAIGN_CALLS] = Kind.CAMPAIGN_CALLS


class CampaignJsonNode(NamedTuple):
    """The metadata of a campaign."""

    campaign_id: int
    kind: Literal[Kind.CAMPAIGN_JSON] = Kind.CAMPAIGN_JSON


class CallNode(NamedTuple):
    """The folder of a call below its campaign; `campaign_way` is how the path spells the campaign, `way` the call."""

    campaign_id: int
    call_id: int
    campaign_way: Way
    way: Way
    kind: Literal[Kind.CALL] = Kind.CALL


class CallMonthNode(NamedTuple):
    """The folder of a month in calls/: 12 * year + month - 1, or -1 for calls without a date."""

    month: int
    kind: Literal[Kind.CALL_MONTH] = Kind.CALL_MONTH


class LoneCallNode(NamedTuple):
    """The folder of a call below calls/."""

    call_id: int
    way: Way
    kind: Literal[Kind.LONE_CALL] = Kind.LONE_CALL


class CallJsonNode(NamedTuple):
    """The metadata of a call; `campaign_id` is 0 where no campaign is known."""

    call_id: int
    campaign_id: int
    kind: Literal[Kind.CALL_JSON] = Kind.CALL_JSON


class Mp3Node(NamedTuple):
    """The MP3 of a recording."""

    recording_id: int
    kind: Literal[Kind.MP3] = Kind.MP3


class WavNode(NamedTuple):
    """A WAV by its file id in v1."""

    file_id: int
    kind: Literal[Kind.WAV] = Kind.WAV


class RecordingJsonNode(NamedTuple):
    """The metadata of a recording."""

    recording_id: int
    kind: Literal[Kind.RECORDING_JSON] = Kind.RECORDING_JSON


class ClipNode(NamedTuple):
    """Some seconds of a version of a recording's WAV; `start` and `stop` in the one spelling of a time."""

    recording_id: int
    start: str
    stop: str
    version: int
    kind: Literal[Kind.MOMENT] = Kind.MOMENT


class DynamicFolderNode(NamedTuple):
    """A folder below dynamic/, by the names on the way to it."""

    names: tuple[str, ...]
    kind: Literal[Kind.DYNAMIC_HASH, Kind.DYNAMIC_YEAR, Kind.DYNAMIC_MONTH, Kind.DYNAMIC_CAMPAIGN]


class DynamicFileNode(NamedTuple):
    """A dynamic recording; `filename` is as its URL spells it."""

    hash: str
    year: str
    month: str
    campaign: str
    filename: str
    kind: Literal[Kind.DYNAMIC_FILE] = Kind.DYNAMIC_FILE


class MediaFileNode(NamedTuple):
    """A media file as one of its types."""

    media_id: int
    extension: str
    kind: Literal[Kind.MEDIA_FILE] = Kind.MEDIA_FILE


class MediaRawNode(NamedTuple):
    """A media file as it is."""

    media_id: int
    kind: Literal[Kind.MEDIA_RAW] = Kind.MEDIA_RAW


class MediaJsonNode(NamedTuple):
    """The metadata of a media file."""

    media_id: int
    kind: Literal[Kind.MEDIA_JSON] = Kind.MEDIA_JSON


class MediaPublicFileNode(NamedTuple):
    """A media file by the key of its public URL."""

    key: str
    extension: str
    kind: Literal[Kind.MEDIA_PUBLIC_FILE] = Kind.MEDIA_PUBLIC_FILE


class UploadNode(NamedTuple):
    """A file that is being written, by its number."""

    number: int
    kind: Literal[Kind.UPLOAD] = Kind.UPLOAD


class CreditUsageNode(NamedTuple):
    """The credit usage of an interval, in unix milliseconds."""

    begin_ms: int
    end_ms: int
    kind: Literal[Kind.CREDIT_USAGE_INTERVAL_JSON] = Kind.CREDIT_USAGE_INTERVAL_JSON


class CallerIdNode(NamedTuple):
    """The folder of a number that is verified or waits for its code, or the file in it that takes the code."""

    number: str
    kind: Literal[Kind.CALLER_ID, Kind.VERIFICATION_CODE] = Kind.CALLER_ID


class CredentialJsonNode(NamedTuple):
    """An API credential that the service lists."""

    credential_id: int
    kind: Literal[Kind.CREDENTIAL_JSON] = Kind.CREDENTIAL_JSON


class CreatedCredentialNode(NamedTuple):
    """The folder of an API credential that this mount created, or the document in it."""

    name: str
    kind: Literal[Kind.CREATED_CREDENTIAL, Kind.CREATED_CREDENTIAL_JSON] = Kind.CREATED_CREDENTIAL


class DateNode(NamedTuple):
    """The folder of a year, month or day in by-date/, by the names on the way to it."""

    names: tuple[str, ...]
    kind: Literal[Kind.YEAR, Kind.MONTH, Kind.DAY]


class ViewFolderNode(NamedTuple):
    """The folder of a number or label, by its sequence number in the catalogue."""

    seq: int
    kind: Literal[Kind.ONE_NUMBER, Kind.ONE_LABEL]


class SearchNode(NamedTuple):
    """The folder of a search, by its name."""

    name: str
    kind: Literal[Kind.SEARCH] = Kind.SEARCH


AboutKind = Literal[Kind.PLAYLIST, Kind.MANIFEST, Kind.INDEX_JSONL, Kind.INDEX_CSV]


class AboutFolderNode(NamedTuple):
    """The playlist of a folder, or the digests of its files: made by `about`."""

    folder: "Node"
    kind: AboutKind


class NoteNode(NamedTuple):
    """A note, by its recording and its extension; or a file under a temporary name, by its folder's inode and name."""

    owner: int
    name: str
    kind: Literal[Kind.NOTE, Kind.TEMPORARY_NOTE] = Kind.NOTE


class OwnFileNode(NamedTuple):
    """One of the mount's own files."""

    name: str
    kind: Literal[Kind.OWN_FILE] = Kind.OWN_FILE


class UnprovenNode(NamedTuple):
    """Stands in for what `name` is in `folder` until an answer shows which of its kind it is."""

    folder: "Node"
    name: str
    kind: Literal[Kind.UNPROVEN_FOLDER, Kind.UNPROVEN_FILE]


#: One file or folder. A file has the same node in every folder that shows it, and in every mount.
Node = (
    FixedNode
    | CampaignNode
    | CampaignCallsNode
    | CampaignJsonNode
    | CallNode
    | CallMonthNode
    | LoneCallNode
    | CallJsonNode
    | Mp3Node
    | WavNode
    | RecordingJsonNode
    | ClipNode
    | DynamicFolderNode
    | DynamicFileNode
    | MediaFileNode
    | MediaRawNode
    | MediaJsonNode
    | MediaPublicFileNode
    | UploadNode
    | CreditUsageNode
    | CallerIdNode
    | CredentialJsonNode
    | CreatedCredentialNode
    | DateNode
    | ViewFolderNode
    | SearchNode
    | AboutFolderNode
    | NoteNode
    | OwnFileNode
    | UnprovenNode
)
CallFolderNode = CallNode | LoneCallNode


def about(folder: Node, kind: AboutKind) -> AboutFolderNode:
    """The playlist, or the manifest, of a folder in whichever way a path spells that."""
    if isinstance(folder, CampaignNode):
        folder = CampaignNode(folder.campaign_id, LISTED)
    elif isinstance(folder, CallNode):
        folder = CallNode(folder.campaign_id, folder.call_id, LISTED, LISTED)
    elif isinstance(folder, LoneCallNode):
        folder = LoneCallNode(folder.call_id, LISTED)
    return AboutFolderNode(folder, kind)
