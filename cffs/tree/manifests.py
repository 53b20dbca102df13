"""MANIFEST.sha256 in every folder of audio: digests of what is wholly cached.

It owns the format, which `sha256sum -c` reads: what is not wholly cached is a comment. It must not know how digests are
made (`reader/digests`).
"""

from collections.abc import Iterator
from typing import Any

import trio

from cffs.catalog.views import UNDATED_MS
from cffs.tree import dynamic, recording_content, search
from cffs.tree.contents import Content, Document, Remote
from cffs.tree.context import Context
from cffs.tree.folder_times import modified_ms
from cffs.tree.node_handlers import Fill, Parts
from cffs.tree.nodes import AboutFolderNode, CampaignNode, Kind, Mp3Node, Node, SearchNode, about
from cffs.tree.playlists import AUDIO_ENTRIES
from cffs.tree.recordings import shown_forms
from cffs.tree.size_hints import Form

#: Lines made before other tasks run.
_AT_ONCE = 50
_CONTENTS: dict[Kind, Fill[Any]] = {
    Kind.MP3: recording_content.mp3_content,
    Kind.WAV: recording_content.wav_content,
    Kind.DYNAMIC_FILE: dynamic.content,
}


def resolve(_context: Context, parent: Node, _parts: Parts) -> Node:
    """Every folder of audio has a manifest."""
    return about(parent, Kind.MANIFEST)


def content(context: Context, node: AboutFolderNode) -> Content:
    """Rendered when its size or its bytes are asked for, since reading files changes what is cached."""
    folder = node.folder

    async def load() -> bytes:
        if isinstance(folder, SearchNode):
            await search.prepare(context, folder)
        lines = ["# what is wholly here, by SHA-256; `sha256sum -c` compares\n"]
        for path, file in _files(context, folder):
            lines.append(_line(path, await _digest(context, file)))
            if len(lines) % _AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        return "".join(lines).encode()

    return Document(body=None, load=load, volatile=True, modified_ms=modified_ms(context, folder))


def _files(context: Context, folder: Node) -> Iterator[tuple[str, Node]]:
    """Every audio file that the folder lists; with `--names ids`, those of a campaign in the folders of its calls."""
    if not isinstance(folder, CampaignNode) or not context.settings.lists_ids:
        after, shown = 0, AUDIO_ENTRIES[folder.kind]
        while entries := shown(context, folder, after):
            after = entries[-1].offset
            yield from ((entry.name, entry.node) for entry in entries if entry.node.kind in _CONTENTS)
        return
    from_ms, seq = UNDATED_MS, 0
    while rows := context.catalog.views.of_campaign(folder.campaign_id, from_ms=from_ms, after_seq=seq):
        for row in rows:
            if Form.MP3 in shown_forms(context) and row.recording.call_id:
                yield f"{row.recording.call_id}/{row.recording.stem}.mp3", Mp3Node(row.recording.id)
        last = rows[-1].recording
        seq, from_ms = last.seq, UNDATED_MS if last.created_ms is None else last.created_ms


async def _digest(context: Context, node: Node) -> str | None:
    remote = _CONTENTS[node.kind](context, node)
    if not isinstance(remote, Remote) or context.digest is None:
        return None
    known = context.known(remote)
    return None if known is None else await context.digest(remote.key, remote.sources, known)


def _line(path: str, digest: str | None) -> str:
    if digest is None:
        return f"# missing: {path}\n"
    # how sha256sum itself spells a backslash
    return f"\\{digest}  {path.replace(chr(92), chr(92) * 2)}\n" if "\\" in path else f"{digest}  {path}\n"
