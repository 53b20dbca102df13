"""playlist.m3u8 in every folder of audio: its recordings as relative, percent-encoded paths, rendered from rows.

It must not know how the folders find their files: it asks the same functions that list them.
The namespace calls it. A playlist costs no request; what it holds is rendered at stat and open, page by page.
"""

from collections.abc import Callable, Iterator

import trio

from cffs.catalog.views import UNDATED_MS, ViewRow
from cffs.core.names import encode_name
from cffs.core.printable import printable_line
from cffs.core.source import quote_segment
from cffs.tree import dates, dynamic, recordings, search, views
from cffs.tree.behaviour import Parts
from cffs.tree.context import Context
from cffs.tree.groups import (
    CALL_PLAYLIST_SLOT,
    CALLS_GROUP,
    CAMPAIGN_PLAYLIST_SLOT,
    CAMPAIGNS_GROUP,
    LONE_CALL_PLAYLIST_SLOT,
    VIEW_FOLDERS_GROUP,
    VIEW_PLAYLIST_SLOT,
)
from cffs.tree.hints import Form
from cffs.tree.inodes import place
from cffs.tree.nodes import Content, Document, Entry, Kind, Node
from cffs.tree.recordings import shown_forms
from cffs.tree.view_files import is_dated, other_number, stamp_of

NAME = "playlist.m3u8"
_HEAD = "#EXTM3U\n"
_AUDIO = frozenset({Kind.MP3, Kind.WAV, Kind.DYNAMIC_FILE})
#: The folder's own listing tells what it plays.
LISTED: dict[Kind, Callable[[Context, Node, int], list[Entry]]] = {
    Kind.CALL: recordings.call_entries,
    Kind.LONE_CALL: recordings.call_entries,
    Kind.RECORDINGS: recordings.recordings_entries,
    Kind.DAY: dates.files,
    Kind.ONE_NUMBER: views.files,
    Kind.ONE_LABEL: views.files,
    Kind.SEARCH: search.files,
    Kind.DYNAMIC_CAMPAIGN: dynamic.file_entries,
}


def node_of(context: Context, folder: Node) -> Node:
    """The playlist of a folder; one for both places that a campaign or a call stands in."""
    folder = views.canonical(folder)
    return Node(Kind.PLAYLIST, (folder.kind.name, *folder.args), _place(context, folder))


def _place(context: Context, folder: Node) -> int:
    if folder.kind is Kind.CAMPAIGN:
        campaign = context.catalog.campaign(int(folder.args[0]))
        return place(CAMPAIGNS_GROUP, campaign.seq, CAMPAIGN_PLAYLIST_SLOT) if campaign else 0
    if folder.kind in (Kind.CALL, Kind.LONE_CALL):
        call = context.catalog.call(int(folder.args[-1]))
        slot = CALL_PLAYLIST_SLOT if folder.kind is Kind.CALL else LONE_CALL_PLAYLIST_SLOT
        return place(CALLS_GROUP, call.seq, slot) if call else 0
    if folder.kind in (Kind.ONE_NUMBER, Kind.ONE_LABEL):
        return place(VIEW_FOLDERS_GROUP, int(folder.args[0]), VIEW_PLAYLIST_SLOT)
    return 0


async def resolve(context: Context, parent: Node, _parts: Parts) -> Node:
    """Every folder of audio has one."""
    return node_of(context, parent)


def content(context: Context, node: Node) -> Content:
    """Rendered when its size or its bytes are asked for."""
    folder = Node(Kind[str(node.args[0])], node.args[1:])

    async def load() -> bytes:
        return await _rendered(context, folder)

    return Document(body=None, load=load, modified_ms=_modified_ms(context, folder))


async def _rendered(context: Context, folder: Node) -> bytes:
    """All of it; always a checkpoint, one a page of rows, so that a long one holds nobody up."""
    if folder.kind is not Kind.CAMPAIGN:
        return await _joined(_listed_pages(context, folder))
    key, version = (folder, shown_forms(context)), context.catalog.version
    kept = context.rendered.get(key, version)
    if kept is not None:
        await trio.lowlevel.checkpoint()
        return kept
    text = await _joined(_campaign_pages(context, folder))
    context.rendered.keep(key, version, text)
    return text


async def _joined(pages: Iterator[str]) -> bytes:
    pieces = [_HEAD.encode()]
    for page in pages:
        pieces.append(page.encode())
        await trio.lowlevel.checkpoint()
    return b"".join(pieces)


def _campaign_pages(context: Context, folder: Node) -> Iterator[str]:
    """The campaign's recordings, newest last, in the folders of their calls."""
    campaign_id, from_ms, seq = int(folder.args[0]), UNDATED_MS, 0
    form = Form.MP3 if Form.MP3 in shown_forms(context) else Form.WAV
    while rows := context.catalog.views.of_campaign(campaign_id, from_ms=from_ms, after_seq=seq):
        yield "".join(
            _item(context, row, f"{row.recording.call_id}/{quote_segment(f'{row.recording.stem}.{form}')}")
            for row in rows
            if row.recording.call_id
        )
        last = rows[-1].recording
        seq, from_ms = last.seq, UNDATED_MS if last.created_ms is None else last.created_ms


def _listed_pages(context: Context, folder: Node) -> Iterator[str]:
    """What the folder lists, in its order, one form of each."""
    after, shown = 0, LISTED[folder.kind]
    both = len(shown_forms(context)) > 1 and context.account.v2 is not None
    while entries := shown(context, folder, after):
        after = entries[-1].offset
        lines = []
        for entry in entries:
            if entry.node.kind not in _AUDIO or (both and entry.node.kind is Kind.WAV and _has_mp3(context, entry)):
                continue
            row = None
            if entry.node.kind is not Kind.DYNAMIC_FILE:
                row = context.catalog.views.recording(int(entry.node.args[0]))
            lines.append(_item(context, row, quote_segment(entry.name), entry.name))
        yield "".join(lines)


def _has_mp3(context: Context, entry: Entry) -> bool:
    return context.catalog.recording(int(entry.node.args[0])) is not None


def _item(context: Context, row: ViewRow | None, path: str, name: str = "") -> str:
    seconds, title = -1, name
    if row is not None:
        seconds = -1 if row.recording.seconds is None else row.recording.seconds
        title = f"{stamp_of(context, row)} {other_number(row)} {encode_name(row.recording.name)}"
    return f"#EXTINF:{seconds},{printable_line(title)}\n{path}\n"


def _modified_ms(context: Context, folder: Node) -> int | None:
    """When the newest of what it holds was made, as far as an index tells it."""
    found: int | None = None
    if folder.kind is Kind.CAMPAIGN:
        found = context.catalog.views.newest_ms_of_campaign(int(folder.args[0]))
    elif folder.kind in (Kind.CALL, Kind.LONE_CALL):
        rows = context.catalog.recordings_of_call(int(folder.args[-1]))
        found = max((row.created_ms for row in rows if row.created_ms is not None), default=None)
    elif folder.kind is Kind.DAY:
        found = context.catalog.views.newest_ms(*dates.interval_of(context, folder))
    elif folder.kind in (Kind.ONE_NUMBER, Kind.ONE_LABEL):
        found = context.catalog.views.newest_ms_of_folder(int(folder.args[0]))
    else:
        found = context.catalog.views.newest_ms(0, UNDATED_MS * -1 - 1)
    return found if is_dated(found) else 0
