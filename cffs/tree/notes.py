"""Notes beside recordings: `S.srt` and its like, where a folder shows audio `S`.

It owns which names of a folder are notes, and where listings show them. It must not know how notes are stored
(`notes/`), nor the kernel. A note belongs to its recording: each folder that shows the recording shows the note, under
the folder's own name for it.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from cffs.core.errors import ContentRefused, NotInTree, ReadOnlyMount, RemoteObjectMissing
from cffs.core.ids import parse_id
from cffs.core.listed_names import id_in
from cffs.core.units import NS_PER_MS
from cffs.notes.account_notes import AccountNotes
from cffs.notes.keys import EXTENSIONS, Key, NoteKey, TemporaryKey, is_temporary, split_note_name
from cffs.tree import campaigns, dates, recordings, search, views
from cffs.tree.contents import Entry, Spooled
from cffs.tree.context import Context, past
from cffs.tree.inodes import number_of
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import Kind, Mp3Node, Node, NoteNode, WavNode
from cffs.tree.recordings import shown_forms
from cffs.tree.size_hints import Form
from cffs.tree.unproven import Question, denied_for_now
from cffs.tree.write_handlers import Change, WritableFile, WriteHandlers, WriteOpen

#: A folder's own offsets, and those of the notes beside each of its entries, are kept distinct: one for the entry, and
#: one for each suffix.
_OFFSETS_AN_ENTRY = 16
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644

#: In a folder of each kind, how the MP3 and the WAV with some stem are found; a recording's folder spells stems by its
#: own rules.
_RESOLVERS: dict[Kind, tuple[Callable[..., Node | Question], Callable[..., Node | Question]]] = {
    Kind.CAMPAIGN: (campaigns.resolve_mp3, campaigns.resolve_wav),
    Kind.DAY: (dates.resolve_mp3, dates.resolve_wav),
    Kind.ONE_NUMBER: (views.resolve_mp3, views.resolve_wav),
    Kind.ONE_LABEL: (views.resolve_mp3, views.resolve_wav),
    Kind.SEARCH: (search.resolve_mp3, search.resolve_wav),
    Kind.CALL: (recordings.resolve_call_mp3, recordings.resolve_call_wav),
    Kind.LONE_CALL: (recordings.resolve_call_mp3, recordings.resolve_call_wav),
}
#: Folders in which `{stem}.json` is the service's metadata of the recording.
_WITH_METADATA = frozenset({Kind.CALL, Kind.LONE_CALL, Kind.RECORDINGS})

Entries = Callable[[Context, Any, int], list[Entry]]
EntriesInThread = Callable[[Context, Any, int], Awaitable[list[Entry]]]


def beside(entries: Entries) -> Entries:
    """The listing of a folder of audio, with the notes of each recording after it."""

    def with_notes(context: Context, folder: Node, after: int) -> list[Entry]:
        if context.notes is None:
            return entries(context, folder, after)
        at = after
        while found := entries(context, folder, _offset_before(at)):
            if shown := past(_with_notes(context, context.notes, found), after):
                return shown
            at = (found[-1].offset + 1) * _OFFSETS_AN_ENTRY
        return []

    return with_notes


def beside_in_thread(entries: EntriesInThread) -> EntriesInThread:
    """The listing of a folder of audio whose entries come from a thread, with the notes of each recording after it."""

    async def with_notes(context: Context, folder: Node, after: int) -> list[Entry]:
        if context.notes is None:
            return await entries(context, folder, after)
        at = after
        while found := await entries(context, folder, _offset_before(at)):
            if shown := past(_with_notes(context, context.notes, found), after):
                return shown
            at = (found[-1].offset + 1) * _OFFSETS_AN_ENTRY
        return []

    return with_notes


def _offset_before(offset: int) -> int:
    """The folder's own offset before the entry with that offset, or the entry that it is beside."""
    return max(0, offset // _OFFSETS_AN_ENTRY - 1)


def _with_notes(context: Context, notes: AccountNotes, entries: list[Entry]) -> list[Entry]:
    shows_mp3s = Form.MP3 in shown_forms(context)
    found = []
    for entry in entries:
        offset = entry.offset * _OFFSETS_AN_ENTRY
        found.append(entry._replace(offset=offset))
        node = entry.node
        if isinstance(node, Mp3Node):
            recording_id = node.recording_id
        elif isinstance(node, WavNode) and not (shows_mp3s and context.catalog.recording(node.file_id) is not None):
            recording_id = node.file_id
        else:
            continue
        for extension in notes.extensions(recording_id):
            name = f"{entry.name[: -len('.mp3')]}.{extension}"
            slot = 1 + EXTENSIONS.index(extension)
            found.append(Entry(offset + slot, name, NoteNode(recording_id, extension)))
    return found


def resolve(context: Context, parent: Node, parts: Parts) -> Node:
    """A note that exists, of a recording that the folder has under that name. Never a question."""
    stem, extension = parts["stem"], parts.get("note") or parts["note_but_json"]
    if context.notes is None:
        raise NotInTree("no notes are kept here")
    recording_id = _known_recording(context, parent, stem)
    if recording_id is None or context.notes.stat(NoteKey(recording_id, extension)) is None:
        raise denied_for_now("no such note")
    return NoteNode(recording_id, extension)


def resolve_temporary(context: Context, parent: Node, parts: Parts) -> Node:
    """A file that is being written under a temporary name, in that folder."""
    if context.notes is None:
        raise NotInTree("no notes are kept here")
    node = NoteNode(number_of(parent), parts["temporary_name"], Kind.TEMPORARY_NOTE)
    if context.notes.stat(_key_of(node)) is None:
        raise denied_for_now("no such file")
    return node


def content(context: Context, node: NoteNode) -> Spooled:
    """What the note holds now."""
    found = _notes(context).stat_open(_key_of(node))
    if found is None:
        raise RemoteObjectMissing("the note is gone")
    return Spooled(nbytes=found.nbytes, modified_ms=found.modified_ns // NS_PER_MS)


async def _create(context: Context, folder: Node, name: str, opening: WriteOpen) -> tuple[Node, WritableFile]:
    key = await _key_to_write(context, folder, name)
    file = await _notes(context).open(key, creates=True, is_exclusive=opening.is_exclusive, truncates=opening.truncates)
    return _node_of(key), file


async def _open(context: Context, node: NoteNode, opening: WriteOpen) -> WritableFile:
    return await _notes(context).open(_key_of(node), truncates=opening.truncates)


async def _remove(context: Context, folder: Node, name: str) -> None:
    key = await _key_to_write(context, folder, name)
    await _notes(context).remove(key)


async def _rename(context: Context, folder: Node, old: str, new: str, replaces: bool) -> None:
    source, target = await _key_to_write(context, folder, old), await _key_to_write(context, folder, new)
    if isinstance(source, NoteKey) and isinstance(target, NoteKey) and source.recording_id != target.recording_id:
        raise ContentRefused("a note cannot become that of another recording")
    await _notes(context).rename(source, target, replaces=replaces)


async def _change(context: Context, node: NoteNode, change: Change) -> None:
    """A length goes to the note; times, owner and mode are accepted and not kept."""
    if change.nbytes is None:
        return
    if change.file is not None:
        await change.file.truncate(change.nbytes)
        return
    file = await _notes(context).open(_key_of(node))
    try:
        await file.truncate(change.nbytes)
    finally:
        await file.release()


FOLDER_WRITING = WriteHandlers(
    is_of_notes=True, permissions=_FOLDER_MODE, create_file=_create, remove_file=_remove, rename=_rename
)
FILE_WRITING = WriteHandlers(is_of_notes=True, permissions=_FILE_MODE, open_file=_open, change=_change)


def _notes(context: Context) -> AccountNotes:
    if context.notes is None:
        raise ReadOnlyMount("notes")
    return context.notes


def _key_of(node: NoteNode) -> Key:
    return NoteKey(node.owner, node.name) if node.kind is Kind.NOTE else TemporaryKey(node.owner, node.name)


def _node_of(key: Key) -> Node:
    if isinstance(key, NoteKey):
        return NoteNode(key.recording_id, key.extension)
    return NoteNode(key.folder, key.name, Kind.TEMPORARY_NOTE)


def _is_metadata(folder: Node, extension: str) -> bool:
    return extension == "json" and folder.kind in _WITH_METADATA


async def _key_to_write(context: Context, folder: Node, name: str) -> Key:
    """The file that a name means where it is written. Raises ContentRefused for a name of no note, ReadOnlyMount for
    the service's own files, and what stops an answer where the recording must be asked for."""
    split = split_note_name(name)
    if split is not None and not _is_metadata(folder, split[1]):
        recording_id = await _asked_recording(context, folder, split[0])
        if recording_id is not None:
            return NoteKey(recording_id, split[1])
    if is_temporary(name):
        return TemporaryKey(number_of(folder), name)
    stem, _dot, extension = name.rpartition(".")
    if extension in ("mp3", "wav", "json") and await _asked_recording(context, folder, stem) is not None:
        raise ReadOnlyMount("recordings are the service's")
    raise ContentRefused(f"notes are called as their recording is, and end in {', '.join(EXTENSIONS)}")


def _known_recording(context: Context, folder: Node, stem: str) -> int | None:
    if folder.kind is Kind.RECORDINGS:  # a note outlives its recording, here where it is found by its id alone
        return parse_id(stem)
    for found in _found(context, folder, stem):
        if (recording_id := _recording_of(found)) is not None:
            return recording_id
    return None


async def _asked_recording(context: Context, folder: Node, stem: str) -> int | None:
    known = _known_recording(context, folder, stem)
    if folder.kind is Kind.RECORDINGS and known is not None:
        notes = _notes(context)
        if notes.extensions(known) or await _proven(_found(context, folder, stem)) is not None:
            return known
        return None
    return known if known is not None else await _proven(_found(context, folder, stem))


async def _proven(found: Iterable[Node | Question]) -> int | None:
    for one in found:
        try:
            node = await one.ask() if isinstance(one, Question) else one
        except (NotInTree, RemoteObjectMissing):
            continue
        if (recording_id := _recording_of(node)) is not None:
            return recording_id
    return None


def _found(context: Context, folder: Node, stem: str) -> Iterator[Node | Question]:
    """What the folder has under that name: the MP3 first."""
    if folder.kind is Kind.RECORDINGS:
        if parse_id(stem) is None:
            return
        resolvers, parts = (recordings.resolve_mp3, recordings.resolve_wav), {"id": stem}
    elif folder.kind in (Kind.CALL, Kind.LONE_CALL):
        resolvers, parts = _RESOLVERS[folder.kind], {"name": stem}
    elif id_in(stem) is None:
        return
    else:
        resolvers, parts = _RESOLVERS[folder.kind], {"name": stem}
    for resolver in resolvers:
        try:
            found = resolver(context, folder, parts)
        except (NotInTree, RemoteObjectMissing):
            continue
        yield found


def _recording_of(found: Node | Question) -> int | None:
    if isinstance(found, Mp3Node):
        return found.recording_id
    return found.file_id if isinstance(found, WavNode) else None
