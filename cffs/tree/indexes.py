"""The indexes of a folder of audio: a line for each recording, for programs.

It owns the fields. It must not know how the folders find their files: it asks the functions that list them. An index
costs no request; it is rendered from rows, page by page.

The fields are those that datasets read: `file_name` is what Hugging Face's audiofolder wants, `audio_filepath` and
`duration` are what NeMo's manifests have.
"""

import csv
import io
import json
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import trio

from cffs.catalog.views import IndexRow
from cffs.core.one_line import printable_line
from cffs.core.times import iso_utc
from cffs.tree import search
from cffs.tree.contents import Content, Document, Entry, Remote
from cffs.tree.context import Context
from cffs.tree.folder_times import modified_ms
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import AboutFolderNode, Kind, Mp3Node, Node, SearchNode, WavNode, about
from cffs.tree.object_keys import object_key
from cffs.tree.playlists import AUDIO_ENTRIES, state_of
from cffs.tree.render_cache import Step

#: No field of the service is longer; a spreadsheet's cell takes 32,767 characters.
_LONGEST_CELL = 32_000
FIELDS = (
    "file_name",
    "audio_filepath",
    "duration",
    "id",
    "call_id",
    "campaign_id",
    "created",
    "from",
    "to",
    "inbound",
    "labels",
    "state",
    "result",
    "nbytes",
    "nbytes_is_exact",
    "notes",
)


#: What a table must spell as it is: paths, which have no line ends, and what is ours.
_EXACT = frozenset({"file_name", "audio_filepath", "created"})

Fields = dict[str, object]


class _Form(NamedTuple):
    """How an index is spelt: what stands before its lines, and some lines."""

    head: bytes
    lines: Callable[[list[Fields]], bytes]


_JSON = msgspec.json.Encoder()


def _json_lines(rows: list[Fields]) -> bytes:
    try:
        return _JSON.encode_lines(rows)
    except UnicodeEncodeError:  # a lone surrogate of the service is no UTF-8
        lines = (json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n" for fields in rows)
        return "".join(lines).encode("utf-8", "replace")


def _csv_lines(rows: list[Fields]) -> bytes:
    """Lists are joined by `;`, truth is `true` and `false`, what is not known is empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [value if name in _EXACT or _is_plain(value) else _cell(value) for name, value in fields.items()]
        for fields in rows
    )
    return text.getvalue().encode("utf-8", "replace")


def _is_plain(value: object) -> bool:
    """True for what a table spells as it is: a number, of a telephone too."""
    if type(value) is str:
        return value.isascii() and value.isalnum() and len(value) <= _LONGEST_CELL
    return type(value) is int  # and not bool


@lru_cache(4096)
def _cell(value: Hashable) -> str:
    """Cached, because most cells say what others say."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = ";".join(value) if isinstance(value, tuple) else str(value)
    return printable_line(text, max_characters=_LONGEST_CELL)


_FORMS: dict[Kind, _Form] = {
    Kind.INDEX_JSONL: _Form(b"", _json_lines),
    Kind.INDEX_CSV: _Form((",".join(FIELDS) + "\n").encode(), _csv_lines),
}


def resolve_jsonl(_context: Context, parent: Node, _parts: Parts) -> Node:
    """Every folder of audio has one."""
    return about(parent, Kind.INDEX_JSONL)


def resolve_csv(_context: Context, parent: Node, _parts: Parts) -> Node:
    """Every folder of audio has one."""
    return about(parent, Kind.INDEX_CSV)


def content(context: Context, node: AboutFolderNode) -> Content:
    """Rendered when its bytes are asked for, or its size where that is not known from before."""
    folder, state = node.folder, state_of(context, node.folder)

    async def load() -> bytes:
        if isinstance(folder, SearchNode):
            await search.prepare(context, folder)
        return await context.render_cache.render(node, _step_of(context, node), state=state_of(context, folder))

    nbytes = context.render_cache.nbytes(node, state=state)
    return Document(body=None, load=load, nbytes=nbytes, modified_ms=modified_ms(context, folder), volatile=True)


def _step_of(context: Context, node: AboutFolderNode) -> Step:
    folder, form = node.folder, _FORMS[node.kind]

    async def step(after: Any) -> tuple[bytes, Any] | None:
        await trio.lowlevel.checkpoint()
        if after is None:
            return form.head, 0
        entries = AUDIO_ENTRIES[folder.kind](context, folder, after)
        if not entries:
            return None
        return form.lines(_rows(context, entries)), entries[-1].offset

    return step


def _rows(context: Context, entries: list[Entry]) -> list[Fields]:
    """The fields of what the entries show, one form of each recording."""
    audio = [(entry, entry.node) for entry in entries if isinstance(entry.node, Mp3Node | WavNode)]
    ids = {_id_of(node) for _entry, node in audio}
    known = context.catalog.views.index_rows(ids)
    shown, rows = set[int](), []
    for entry, node in audio:
        recording_id = _id_of(node)
        if recording_id not in shown:
            shown.add(recording_id)
            rows.append(_fields(context, entry, node, known.get(recording_id)))
    return rows


def _id_of(node: Mp3Node | WavNode) -> int:
    return node.recording_id if isinstance(node, Mp3Node) else node.file_id


def _fields(context: Context, entry: Entry, node: Mp3Node | WavNode, row: IndexRow | None) -> Fields:
    recording_id = _id_of(node)
    key = object_key(node)
    fact = context.catalog.fact(key) if key is not None else None
    exact = None if fact is None else fact.nbytes
    hint = entry.content.hint_nbytes if isinstance(entry.content, Remote) else None
    form = "mp3" if isinstance(node, Mp3Node) else "wav"
    return {
        "file_name": entry.name,
        "audio_filepath": f"{context.mountpoint}/recordings/{recording_id}.{form}",
        "duration": None if row is None else row.seconds,
        "id": recording_id,
        "call_id": None if row is None else row.call_id or None,
        "campaign_id": None if row is None else row.campaign_id or None,
        "created": None if row is None else iso_utc(row.created_ms),
        "from": None if row is None else row.from_number or None,
        "to": None if row is None else row.to_number or None,
        "inbound": None if row is None else row.inbound,
        "labels": () if row is None else row.labels,
        "state": None if row is None else row.state,
        "result": None if row is None else row.result,
        "nbytes": hint if exact is None else exact,
        "nbytes_is_exact": exact is not None,
        "notes": () if context.notes is None else context.notes.extensions(recording_id),
    }
