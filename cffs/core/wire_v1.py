"""API v1's list of the recordings of a call: XML or JSON, flags in the body, URLs that must be ours.

It must not know requests or keys: a URL of the answer is only read for its file id and never used.
`callfire/v1` calls it.

The XML is the first document's. No sample of the JSON is public; its forms are those of CallFire's 1.1 API and of the
serialisers of that time (api.md section 1A).
"""

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from cffs.core.errors import AccessRefused, MalformedAnswer, ServerFailure
from cffs.core.ids import CallId, CampaignId, RecordingId, parse_id
from cffs.core.printable import printable_line
from cffs.core.values import RecordingList
from cffs.core.wire_json import MAX_BODY_NBYTES, as_boolean, as_id, as_object, as_text, decode
from cffs.core.wire_v1_xml import flat_children

_WHAT = "list of recordings"
#: Sibling answers of v1 are called `reportResponse` and the like, and say `success`.
_ROOT_SUFFIX = "response"
_SUCCESS_FIELDS = ("successful", "success")
#: A description that plainly speaks of who asks, not of what was asked for.
_ABOUT_ACCESS = re.compile(
    r"\b(?:(?:api[ _-]?)?key|unauthori[sz]ed|authori[sz]\w*|authenticat\w*|credentials?|permissions?|permitted"
    r"|forbidden|access (?:is )?denied|not allowed)\b",
    re.IGNORECASE,
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_recording_list(body: bytes, *, base_url: str) -> RecordingList:
    """The file ids of a list of recordings, in the order sent, each once.

    An entry is the id itself or its URL below `base_url` (scheme, host, port and path equal; query and fragment
    dropped); every other entry is counted in `refused`, also one under another host. Echoed ids that are no numbers
    (the document prints `XXXXX`) are None.
    Raises AccessRefused or ServerFailure(200) where the answer says it was not successful, MalformedAnswer for what is
    no such list; nothing else.
    """
    fields, entries = _read(body)
    _require_success(fields, has_entries=bool(entries))
    return _recording_list(fields, entries, base_url=base_url)


def _read(body: bytes) -> tuple[dict[str, object], list[object]]:
    """The answer's fields by lower-case name, and its entries in order, in whichever of the two forms it came."""
    if len(body) > MAX_BODY_NBYTES:
        raise MalformedAnswer(f"{_WHAT}: more than {MAX_BODY_NBYTES} bytes")
    first = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first == b"<":
        return _read_xml(body)
    if first == b"{":
        return _read_json(body)
    raise MalformedAnswer(f"{_WHAT}: neither XML nor JSON")


def _read_xml(body: bytes) -> tuple[dict[str, object], list[object]]:
    # Blanks before the declaration are an error in XML, but a common slip of servers.
    root, children = flat_children(body.removeprefix(b"\xef\xbb\xbf").lstrip(), what=_WHAT)
    if not root.endswith(_ROOT_SUFFIX):
        raise MalformedAnswer(f"{_WHAT}: the root element is {printable_line(root, max_characters=40)}")
    fields: dict[str, object] = {tag: text for tag, text in children if tag != "recording"}
    return fields, [text for tag, text in children if tag == "recording"]


def _read_json(body: bytes) -> tuple[dict[str, object], list[object]]:
    document = _lowered(decode(body, what=_WHAT))
    if len(document) == 1:
        name, inner = next(iter(document.items()))
        if name.endswith(_ROOT_SUFFIX):
            document = _lowered(inner)
    recordings = document.pop("recording", None)
    if recordings is None:
        return document, []
    return document, recordings if isinstance(recordings, list) else [recordings]


def _lowered(value: object) -> dict[str, object]:
    document = as_object(value)
    if document is None:
        raise MalformedAnswer(f"{_WHAT}: not a JSON object")
    return {name.lower(): field for name, field in document.items()}


def _require_success(fields: dict[str, object], *, has_entries: bool) -> None:
    said = next((fields[name] for name in _SUCCESS_FIELDS if name in fields), None)
    if said is None:
        # Entries speak for themselves; with neither, an error page's JSON would look like an empty call.
        if not has_entries:
            raise MalformedAnswer(f"{_WHAT}: neither a success flag nor recordings")
        return
    successful = as_boolean(said)
    if successful is None:
        raise MalformedAnswer(f"{_WHAT}: the success flag is no boolean")
    if not successful:
        description = printable_line(as_text(fields.get("description")))
        if _ABOUT_ACCESS.search(description):
            raise AccessRefused(f"{_WHAT}: {description}")
        raise ServerFailure(200, f"{_WHAT}, which it calls unsuccessful: {description or 'no description'}")


def _recording_list(fields: dict[str, object], entries: Iterable[object], *, base_url: str) -> RecordingList:
    base = urlsplit(base_url)
    prefix = base.path.rstrip("/") + "/files/recording/"
    file_ids: dict[RecordingId, None] = {}
    refused = 0
    for entry in entries:
        file_id = _file_id(entry, base=base, prefix=prefix)
        if file_id is None:
            refused += 1
        else:
            file_ids[RecordingId(file_id)] = None
    campaign_id, call_id = as_id(fields.get("campaignid")), as_id(fields.get("callid"))
    return RecordingList(
        campaign_id=None if campaign_id is None else CampaignId(campaign_id),
        call_id=None if call_id is None else CallId(call_id),
        file_ids=tuple(file_ids),
        refused=refused,
    )


def _file_id(entry: object, *, base: SplitResult, prefix: str) -> int | None:
    if not isinstance(entry, str):
        return as_id(entry)
    text = entry.strip()
    if "/" not in text:
        return parse_id(text)
    try:
        url = urlsplit(text)
        ours = _origin(url) == _origin(base)
    except ValueError:  # a port that is no number, an unclosed bracket
        return None
    # Userinfo would make another request of it; a deeper path is another operation.
    if not ours or "@" in url.netloc or not url.path.startswith(prefix):
        return None
    return parse_id(url.path.removeprefix(prefix))


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port if url.port is not None else _DEFAULT_PORTS.get(url.scheme)
