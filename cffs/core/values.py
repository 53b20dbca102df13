"""The service's objects as values: campaigns, calls, recordings, media, and pages.

It owns their fields. It must not know how they travelled (XML, JSON) or where they are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Generic, TypeVar

Item = TypeVar("Item")


class RecordingState(StrEnum):
    """The `state` of a recording (see cffs/docs/service.md#states). An unknown word, or none, is UNKNOWN: it is read
    like READY, but not taken as immutable."""

    RECORDING = "RECORDING"
    READY = "READY"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"


class Emptiness(Enum):
    """What the metadata of a file say about whether it is empty."""

    STATED = auto()  # a length or a duration of zero
    UNSTATED = auto()  # nothing
    DENIED = auto()  # a length or a duration above zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording of a call, as v2 describes it; `document` holds every field that the API sent.

    `to_number` and `labels` are those of the attempt in which it was made (each of the call's `records[]` has a number
    of its own); "" and () where the recording did not come within its call.
    """

    id: int
    call_id: int | None
    campaign_id: int | None
    name: str
    created_ms: int | None
    hint_nbytes: int | None
    seconds: int | None
    state: RecordingState
    document: Mapping[str, object]
    to_number: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call. `recordings` is None where the answer does not embed them, () where it says that there are none.
    `seconds` is how long all of its attempts lasted together, None until the call is over. `age_seconds` is how long
    ago the service was asked, above 0 where another machine asked."""

    id: int
    campaign_id: int | None
    from_number: str
    to_number: str
    inbound: bool | None
    created_ms: int | None
    modified_ms: int | None
    labels: tuple[str, ...]
    recordings: tuple[Recording, ...] | None
    document: Mapping[str, object]
    seconds: int | None = None
    age_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A v2 broadcast."""

    id: int
    name: str
    modified_ms: int | None
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A media file of the account. `extension` is one of the eight documented ones, else the suffix of its public URL,
    else "". `public_key` and `public_extension` are those of its public URL, where it has one."""

    id: int
    name: str
    created_ms: int | None
    hint_nbytes: int | None
    extension: str
    public_key: str | None
    public_extension: str | None
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """One page of a v2 list. `limit`, `offset` and `total` are as echoed, None where absent or impossible.

    `received` counts the entries that were sent, `refused` those of them that were no usable record. `served_ms` is the
    time by the service's own clock, where it gave one, `age_seconds` as of a call.
    """

    items: tuple[Item, ...]
    limit: int | None
    offset: int | None
    total: int | None
    received: int
    refused: int
    served_ms: int | None = None
    age_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingList:
    """v1's list of the recordings of one call: file ids in the order sent; foreign URLs are counted in `refused`, and
    `age_seconds` is as of a call."""

    campaign_id: int | None
    call_id: int | None
    file_ids: tuple[int, ...]
    refused: int
    age_seconds: float = 0.0
