"""Parsers of API v2's JSON: pages, calls, recordings, media, and small answers.

No field is required in the public OpenAPI document, so each parser demands only what it cannot do without: an id. What
is known of each field, and how, is in cffs/docs/service.md.

It owns the check of each field and its conversion into our types. It must not know requests, statuses or paging loops.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from cffs.core.errors import MalformedAnswer
from cffs.core.ids import parse_id
from cffs.core.json_values import (
    as_boolean,
    as_count,
    as_id,
    as_list,
    as_object,
    as_text,
    as_time_ms,
    decode,
)
from cffs.core.media_types import public_parts, shown_extension
from cffs.core.one_line import MAX_LINE_CHARACTERS, printable_line
from cffs.core.units import MAX_OBJECT_NBYTES
from cffs.core.values import Call, Campaign, Emptiness, Item, Media, Page, Recording, RecordingState

#: Counts are int32 in the OpenAPI document; a larger number is no count.
_MAX_COUNT = 2**31 - 1
#: States of a call that has not been made, or that has not ended.
_UNFINISHED = frozenset({"READY", "SELECTED", "CALLBACK"})
#: The fields of an error that hold words; `helpLink` is not one of them.
_WORDS = ("message", "developermessage", "description", "error", "error_description")
_MAX_WORDS_NBYTES = 4096
_MEDIA_ID = re.compile(r"mediaId[\"\s:=]{0,8}([0-9]{1,19})(?![0-9])", re.ASCII | re.IGNORECASE)


def parse_page(body: bytes, parse_item: Callable[[object], Item], *, what: str) -> Page[Item]:
    """One page of a list. Entries for which `parse_item` raises MalformedAnswer are counted in `refused`.

    `items` may be missing or null only where `totalCount` is 0: an object without either (an error body with status
    200, a mock's `{}`) must not look like an empty account. Raises MalformedAnswer, naming `what`.
    """
    document = parse_document(body, what=what)
    total = as_count(document.get("totalCount"), maximum=_MAX_COUNT)
    entries = _entries(document, may_lack=total == 0, what=what)
    items = _parsed(entries, parse_item)
    return Page(
        items=items,
        limit=as_count(document.get("limit"), maximum=_MAX_COUNT) or None,
        offset=as_count(document.get("offset"), maximum=_MAX_COUNT),
        total=total,
        received=len(entries),
        refused=len(entries) - len(items),
    )


def parse_items(body: bytes, parse_item: Callable[[object], Item], *, what: str) -> Page[Item]:
    """A list that is not paged, `{"items": [...]}`, as a page with nothing echoed.

    `{}` and a null `items` are an empty list, because serialisers leave out what is empty; any other object without
    `items` is no list. Raises MalformedAnswer, naming `what`.
    """
    document = parse_document(body, what=what)
    entries = _entries(document, may_lack=document.keys() <= {"items"}, what=what)
    items = _parsed(entries, parse_item)
    return Page(
        items=items, limit=None, offset=None, total=None, received=len(entries), refused=len(entries) - len(items)
    )


def _entries(document: Mapping[str, object], *, may_lack: bool, what: str) -> list[object]:
    entries = document.get("items")
    if not isinstance(entries, list) and not (entries is None and may_lack):
        raise MalformedAnswer(f"{what}: no items in the answer")
    return as_list(entries)


def _parsed(entries: Iterable[object], parse_item: Callable[[object], Item]) -> tuple[Item, ...]:
    items: list[Item] = []
    for entry in entries:
        try:
            items.append(parse_item(entry))
        except MalformedAnswer:
            continue
    return tuple(items)


def parse_call_page(body: bytes, *, what: str) -> Page[Call]:
    """`parse_page` for calls, with `settled` applied to the whole page."""
    page = parse_page(body, parse_call, what=what)
    return replace(page, items=settled(page.items, embeds=embeds_recordings(page.items)))


def embeds_recordings(calls: Iterable[Call]) -> bool:
    """True where at least one call came with its recordings: this origin embeds them in this kind of answer."""
    return any(call.recordings is not None for call in calls)


def settled(calls: Iterable[Call], *, embeds: bool) -> tuple[Call, ...]:
    """The calls, with `recordings` () instead of None where the answer is known to embed recordings.

    A serialiser that leaves out empty lists makes "none" and "not embedded" look alike. One call with recordings in the
    same answer, or on an earlier page (`embeds`), settles it for all. A call whose `recordings` field was there but no
    list stays None.
    """
    return tuple(
        replace(call, recordings=()) if embeds and call.recordings is None and not _is_garbled(call) else call
        for call in calls
    )


def _is_garbled(call: Call) -> bool:
    return any(
        (record := as_object(entry)) is None or record.get("recordings") is not None
        for entry in as_list(call.document.get("records"))
    )


def parse_call(value: object) -> Call:
    """A call. Raises MalformedAnswer without a valid id.

    `recordings` is a tuple where at least one of `records[]` has a list `recordings`: all of these together, in order,
    each once. Else it is None, for no records or records without the field: see `settled`. An embedded recording gets
    its call's ids where it has none, and the number and labels of its record; one that names another call is left out.
    """
    call_id, document = parse_identified(value, what="call")
    campaign_id = as_id(document.get("campaignId"))
    return Call(
        id=call_id,
        campaign_id=campaign_id,
        from_number=as_text(document.get("fromNumber")),
        to_number=as_text(document.get("toNumber")),
        inbound=as_boolean(document.get("inbound")),
        created_ms=as_time_ms(document.get("created")),
        modified_ms=as_time_ms(document.get("modified")),
        labels=_labels(document),
        recordings=_embedded(document, call_id=call_id, campaign_id=campaign_id),
        document=document,
        seconds=_seconds(document),
    )


def _seconds(call_document: Mapping[str, object]) -> int | None:
    """How long the attempts of a call lasted together, as far as it is known; None while the call is going on."""
    if as_text(call_document.get("state")).strip().upper() in _UNFINISHED:
        return None
    records = (as_object(entry) for entry in as_list(call_document.get("records")))
    stated = (as_count(record.get("duration"), maximum=_MAX_COUNT) for record in records if record is not None)
    known = [seconds for seconds in stated if seconds is not None]
    return sum(known) if known else None


def _embedded(
    call_document: Mapping[str, object], *, call_id: int, campaign_id: int | None
) -> tuple[Recording, ...] | None:
    records = [record for entry in as_list(call_document.get("records")) if (record := as_object(entry)) is not None]
    holding = [record for record in records if isinstance(record.get("recordings"), list)]
    if not holding:
        return None
    by_id: dict[int, Recording] = {}
    for record in holding:
        to_number, labels = as_text(record.get("toNumber")), _labels(record)
        for recording in _parsed(as_list(record.get("recordings")), parse_recording):
            if recording.call_id in (None, call_id):
                # Its folder is in the campaign of its call, whatever the recording says.
                campaign = campaign_id or recording.campaign_id
                known = replace(recording, call_id=call_id, campaign_id=campaign, to_number=to_number, labels=labels)
                by_id.setdefault(recording.id, known)
    return tuple(by_id.values())


def _labels(document: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for label in as_list(document.get("labels")) if isinstance(label, str)))


def parse_recording(value: object) -> Recording:
    """A recording's metadata. Raises MalformedAnswer without a valid id; any other state is UNKNOWN."""
    id_, document = parse_identified(value, what="recording")
    state = as_text(document.get("state")).strip().upper()
    return Recording(
        id=id_,
        call_id=as_id(document.get("callId")),
        campaign_id=as_id(document.get("campaignId")),
        name=as_text(document.get("name")),
        created_ms=as_time_ms(document.get("created")),
        hint_nbytes=_hint_nbytes(document),
        seconds=as_count(document.get("lengthInSeconds"), maximum=_MAX_COUNT),
        state=RecordingState(state) if state in RecordingState.__members__ else RecordingState.UNKNOWN,
        document=document,
    )


def parse_campaign(value: object) -> Campaign:
    """A broadcast. Raises MalformedAnswer without a valid id."""
    id_, document = parse_identified(value, what="campaign")
    return Campaign(
        id=id_,
        name=as_text(document.get("name")),
        modified_ms=as_time_ms(document.get("lastModified")),
        document=document,
    )


def parse_media(value: object) -> Media:
    """A media file. Raises MalformedAnswer without a valid id.

    `extension` is the documented one of `mediaType` (a MIME type or a bare word), else the suffix of `publicUrl`, else
    "". `public_key` and `public_extension` are spelt as in the public URL; its host does not matter, because the key is
    used on the configured origin only.
    """
    id_, document = parse_identified(value, what="media")
    public_key, public_extension = public_parts(as_text(document.get("publicUrl")))
    return Media(
        id=id_,
        name=as_text(document.get("name")),
        created_ms=as_time_ms(document.get("created")),
        hint_nbytes=_hint_nbytes(document),
        extension=shown_extension(as_text(document.get("mediaType")), public_extension or ""),
        public_key=public_key,
        public_extension=public_extension,
        document=document,
    )


def parse_identified(value: object, *, what: str) -> tuple[int, Mapping[str, object]]:
    """The id and the document of any record with an `id`. Raises MalformedAnswer without a valid one."""
    document = as_object(value)
    id_ = None if document is None else as_id(document.get("id"))
    if document is None or id_ is None:
        raise MalformedAnswer(f"{what}: a record without a valid id")
    return id_, document


def require_id(actual: int | None, asked: int, *, what: str) -> None:
    """Raise MalformedAnswer where an answer echoes another id than the one asked for; None, no echo, passes."""
    if actual is not None and actual != asked:
        raise MalformedAnswer(f"{what}: asked for {asked}, the answer is about {actual}")


def _hint_nbytes(document: Mapping[str, object]) -> int | None:
    return as_count(document.get("lengthInBytes"), maximum=MAX_OBJECT_NBYTES) or None


def stated_emptiness(document: Mapping[str, object]) -> Emptiness:
    """What the metadata of a recording or a media file say about whether it is empty."""
    lengths = (document.get("lengthInBytes"), document.get("lengthInSeconds"))
    counts = [count for value in lengths if (count := as_count(value, maximum=MAX_OBJECT_NBYTES)) is not None]
    if any(counts):
        return Emptiness.DENIED
    return Emptiness.STATED if counts else Emptiness.UNSTATED


def parse_document(body: bytes, *, what: str) -> Mapping[str, object]:
    """A JSON object of any form. Raises MalformedAnswer for anything else."""
    document = as_object(decode(body, what=what))
    if document is None:
        raise MalformedAnswer(f"{what}: not a JSON object")
    return document


def parse_caller_ids(body: bytes) -> tuple[str, ...]:
    """The verified caller ids as the service spells them, each once. Raises MalformedAnswer."""
    page = parse_items(body, _parse_caller_id, what="caller ids")
    return tuple(dict.fromkeys(page.items))


def _parse_caller_id(value: object) -> str:
    document = as_object(value)
    number = as_text(value if document is None else document.get("phoneNumber"))
    if not number:
        raise MalformedAnswer("caller ids: a record without a number")
    return number


def parse_resource_id(body: bytes) -> int:
    """The id in the answer to a creation, `{"id": 5}`. Raises MalformedAnswer without a valid one."""
    id_, _document = parse_identified(decode(body, what="created resource"), what="created resource")
    return id_


def parse_boolean(body: bytes) -> bool:
    """A bare JSON boolean (the answer to a verification code). Raises MalformedAnswer for anything else."""
    answer = as_boolean(decode(body, what="boolean answer"))
    if answer is None:
        raise MalformedAnswer("boolean answer: not a boolean")
    return answer


def parse_error_message(body: bytes) -> str:
    """The message of an error body, as one printable line of at most 200 characters; "" where it has none.

    Reads an ErrorResponse (`message`, else `developerMessage`), and any other body as text. Never raises. The line has
    no URL query and no `apikey=` value, because an error page may echo the request.
    """
    try:
        document = as_object(decode(body, what="error body"))
    except MalformedAnswer:
        document = None
    words = [as_text((document or {}).get(field)) for field in ("message", "developerMessage")]
    text = next(filter(str.strip, words), None)
    if text is None:
        # Four times the line: tags and blanks are still to be removed, and a body may have megabytes.
        text = body[: 4 * MAX_LINE_CHARACTERS].decode("utf-8", "replace")
    return printable_line(text)


def parse_error_words(body: bytes) -> str:
    """All words of an error body: `message`, `developerMessage` and the like, of an ErrorResponse or of an error of API
    1.1 within its wrapper; else the text itself. Never raises. Not for messages: it may hold anything."""
    try:
        document = as_object(decode(body, what="error body"))
    except MalformedAnswer:
        document = None
    if document is None:
        return body[:_MAX_WORDS_NBYTES].decode("utf-8", "replace")
    levels = [document, *filter(None, map(as_object, document.values()))]
    fields = [(name.lower(), as_text(value)) for level in levels for name, value in level.items()]
    return "\n".join(text for name, text in fields if name in _WORDS)


def parse_duplicate_media_id(body: bytes | bytearray) -> int | None:
    """The id that an error body names as `mediaId`, which refuses a duplicate upload; None without one.

    It is searched for in the text, because it is not documented which field holds it. Never raises.
    """
    found = _MEDIA_ID.search(body.decode("utf-8", "replace"))
    return None if found is None else parse_id(found[1])
