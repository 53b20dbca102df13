"""Parser of API v1's list of the recordings of a call, in XML or JSON.

The XML is the first document's. No sample of the JSON is public, so the forms of CallFire's 1.1 API and of the
serialisers of that time are all accepted. Other answers of v1 report a failure with HTTP 200 (`campaignResponse`,
`reportResponse`), so the flag in the body is read: see cffs/docs/service.md#v1.

It owns the forms that are accepted. It must not know requests or keys: a URL in the answer is read for its file id and
never fetched, so it may have another host or scheme than the base.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote, urlsplit

from cffs.core.errors import AccessRefused, CffsError, MalformedAnswer, OriginBusy, RemoteObjectMissing, ServerFailure
from cffs.core.ids import parse_id
from cffs.core.json_values import MAX_BODY_NBYTES, as_boolean, as_id, as_int64, as_object, as_text, decode
from cffs.core.one_line import printable_line
from cffs.core.refusals import is_about_access, is_about_rate_limit, is_about_the_key
from cffs.core.v1_xml import parse_xml
from cffs.core.values import RecordingList

_WHAT = "list of recordings"
#: Other answers of v1 have roots such as `reportResponse`, and a flag named `success`. An error of 1.1 has a name of
#: its own, and a status in the body.
_ROOT_SUFFIXES = ("response", "exception")
_SUCCESS_FIELDS = ("successful", "success")
_DESCRIPTION_FIELDS = ("description", "message", "error")
_ENTRY_FIELDS = ("recording", "recordings")
#: The fields of an entry that is an object: the names that a URL may have, then those that an id may have.
_URL_FIELDS = ("value", "$", "#text", "url", "@url", "href", "@href", "link", "@link", "uri", "@uri", "location")
_ID_FIELDS = ("id", "@id", "fileid", "@fileid", "recordingid", "@recordingid", "value", "$", "#text")
_URL_PATH = re.compile(r"/files/recording/([0-9]+)/?\Z", re.ASCII)
#: Wrappers around an answer or its entries; no serialiser writes more.
_MAX_WRAPPERS = 4


def parse_recording_list(body: bytes) -> RecordingList:
    """The file ids of a list of recordings, in the order sent, each once.

    An entry is the id itself, or any URL whose path ends in `/files/recording/{id}`, as a text or in an object. Entries
    of another kind are counted in `refused`. Echoed ids that are no numbers (the document prints `XXXXX`) are None.
    Raises AccessRefused, OriginBusy, RemoteObjectMissing or ServerFailure(200) where the answer says that it was not
    successful, and MalformedAnswer for anything that is no such list; nothing else.
    """
    fields = _read(body)
    _require_success(fields)
    file_ids: dict[int, None] = {}
    refused = 0
    for entry in _entries(fields):
        file_id = _file_id(entry)
        if file_id is None:
            refused += 1
        else:
            file_ids[file_id] = None
    if not file_ids and not refused and not any(name in fields for name in _SUCCESS_FIELDS):
        # With neither, an error page's JSON would look like an empty call.
        raise MalformedAnswer(f"{_WHAT}: neither a success flag nor recordings")
    return RecordingList(
        campaign_id=as_id(_plain(fields.get("campaignid"))),
        call_id=as_id(_plain(fields.get("callid"))),
        file_ids=tuple(file_ids),
        refused=refused,
    )


def require_service(body: bytes) -> None:
    """Raise what an answer with HTTP 200 says about the whole service, as a status would: OriginBusy for a rate limit,
    AccessRefused for the key. Return for every other answer, even one that cannot be read."""
    try:
        _require_success(_read(body))
    except (OriginBusy, AccessRefused) as refusal:
        if isinstance(refusal, OriginBusy) or is_about_the_key(str(refusal)):
            raise
    except CffsError:
        return


def _read(body: bytes) -> Mapping[str, object]:
    """The answer's fields by lower-case name, from XML or JSON."""
    if len(body) > MAX_BODY_NBYTES:
        raise MalformedAnswer(f"{_WHAT}: more than {MAX_BODY_NBYTES} bytes")
    # Blanks before the declaration are an error in XML, but servers often send them.
    body = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if body[:1] == b"<":
        root, document = parse_xml(body, what=_WHAT)
        if not root.endswith(_ROOT_SUFFIXES):
            raise MalformedAnswer(f"{_WHAT}: the root element is {printable_line(root, max_characters=40)}")
        return _lowered(document) if isinstance(document, dict) else {}
    if body[:1] == b"{":
        return _unwrapped(_lowered(decode(body, what=_WHAT)))
    if body[:1] == b"[":
        return {"recordings": decode(body, what=_WHAT)}
    raise MalformedAnswer(f"{_WHAT}: neither XML nor JSON")


def _unwrapped(document: Mapping[str, object]) -> Mapping[str, object]:
    for _wrapper in range(_MAX_WRAPPERS):
        inner = next((field for name, field in document.items() if name.endswith(_ROOT_SUFFIXES)), None)
        if inner is None or not document.keys().isdisjoint((*_SUCCESS_FIELDS, *_ENTRY_FIELDS)):
            break
        document = {"recordings": inner} if isinstance(inner, list) else _lowered(inner)
    return document


def _lowered(value: object) -> Mapping[str, object]:
    document = as_object(value)
    if document is None:
        raise MalformedAnswer(f"{_WHAT}: not a JSON object")
    return {name.lower(): field for name, field in document.items()}


def _require_success(fields: Mapping[str, object]) -> None:
    flag = next((fields[name] for name in _SUCCESS_FIELDS if name in fields), None)
    successful = as_boolean(_plain(flag))
    if flag is not None and successful is None:
        raise MalformedAnswer(f"{_WHAT}: the success flag is no boolean")
    status = as_int64(_plain(fields.get("httpstatus")))  # in an error of 1.1
    if successful or (flag is None and status is None):
        return
    described = (as_text(_plain(fields.get(name))) for name in _DESCRIPTION_FIELDS)
    description = printable_line(next(filter(str.strip, described), ""))
    if is_about_rate_limit(description):
        raise OriginBusy(-1.0)
    if status == 401 or is_about_access(description):
        raise AccessRefused(f"{_WHAT}: {description}")
    if status in (404, 410):
        raise RemoteObjectMissing(f"{_WHAT}: {description}")
    raise ServerFailure(200, f"{_WHAT}, which it calls unsuccessful: {description or 'no description'}")


def _plain(value: object) -> object:
    """The value without its attributes: 1.1 writes simple content with attributes as `{"value": …}`."""
    document = as_object(value)
    return value if document is None else next((document[name] for name in _URL_FIELDS if name in document), None)


def _entries(fields: Mapping[str, object]) -> Iterator[object]:
    """Each entry once, in order. An empty value is no entry: serialisers write an empty list so."""
    for name in _ENTRY_FIELDS:
        yield from _flattened(fields.get(name), wrappers_left=_MAX_WRAPPERS)


def _flattened(value: object, *, wrappers_left: int) -> Iterator[object]:
    if isinstance(value, list):
        for one in value:
            yield from _flattened(one, wrappers_left=wrappers_left)
        return
    document = as_object(value)
    if document is not None and wrappers_left:
        inner = {name.lower(): field for name, field in document.items()}
        if any(name in inner for name in _ENTRY_FIELDS):
            for name in _ENTRY_FIELDS:
                yield from _flattened(inner.get(name), wrappers_left=wrappers_left - 1)
            return
    if value not in (None, "", {}) and not (isinstance(value, str) and not value.strip()):
        yield value


def _file_id(entry: object) -> int | None:
    document = as_object(entry)
    if document is None:
        return _id_of_text(entry) if isinstance(entry, str) else as_id(entry)
    fields = {name.lower(): field for name, field in document.items()}
    urls = (fields[name] for name in _URL_FIELDS if isinstance(fields.get(name), str))
    ids = (fields[name] for name in _ID_FIELDS if name in fields)
    return next(_known([*map(_id_of_url, urls), *map(as_id, ids)]), None)


def _known(found: Iterable[int | None]) -> Iterator[int]:
    return (file_id for file_id in found if file_id is not None)


def _id_of_text(text: str) -> int | None:
    text = text.strip()
    return _id_of_url(text) if "/" in text else parse_id(text)


def _id_of_url(text: object) -> int | None:
    try:
        path = unquote(urlsplit(str(text).strip()).path)
    except ValueError:  # an unclosed bracket and the like
        return None
    found = _URL_PATH.search(path)
    return None if found is None else parse_id(found[1])
