"""recordings/ and the audio in a call's folder: which forms exist, under which names, from which sources.

It must not know campaigns beyond the ids of the folder it is asked about.
The namespace calls it. v1 gives WAVs by file id, v2 MP3s and metadata by name or id; which of them a listing shows
is decided in `shown_forms`, lookup finds every form.
"""

from cffs.catalog.offered import Family
from cffs.catalog.questions import LOOKUP_PATIENCE_SECONDS
from cffs.catalog.rows import CallRow, FileRow, RecordingRow
from cffs.core.errors import AccessRefused, NotInTree, OperationNotOffered, RemoteObjectMissing
from cffs.core.ids import parse_id
from cffs.core.names import decode_name
from cffs.core.source import Source, v1_recording, v2_recording, v2_recording_by_name
from cffs.tree.behaviour import Parts
from cffs.tree.context import Context, fixed, past, row_offset, seq_before
from cffs.tree.groups import (
    CALL_JSON_SLOT,
    CALLS_GROUP,
    FILES_GROUP,
    MP3_SLOT,
    RECORDING_JSON_SLOT,
    RECORDINGS_GROUP,
    WAV_SLOT,
)
from cffs.tree.hints import Form, usable
from cffs.tree.inodes import place
from cffs.tree.nodes import Content, Document, Entry, Kind, Node, Remote

#: WAVs that only v1's list told of stand behind everything that v2's rows make, in a range of places of their own.
_FILES_OFFSET = 1 << 56


def mp3_node(row: RecordingRow) -> Node:
    """A recording's MP3."""
    return Node(Kind.MP3, (row.id,), place(RECORDINGS_GROUP, row.seq, MP3_SLOT))


def json_node(row: RecordingRow) -> Node:
    """A recording's metadata."""
    return Node(Kind.RECORDING_JSON, (row.id,), place(RECORDINGS_GROUP, row.seq, RECORDING_JSON_SLOT))


def wav_node(file_id: int, row: FileRow | None) -> Node:
    """A recording's WAV."""
    return Node(Kind.WAV, (file_id,), place(FILES_GROUP, row.seq, WAV_SLOT) if row else 0)


def call_of(context: Context, folder: Node) -> tuple[int, int]:
    """(campaign id or 0, call id) of a call's folder."""
    if folder.kind is Kind.CALL:
        return int(folder.args[0]), int(folder.args[1])
    call_id = int(folder.args[0])
    row = context.catalog.call(call_id)
    return (row.campaign_id if row else 0), call_id


# -- a call's folder --


async def resolve_call_json(context: Context, parent: Node, _parts: Parts) -> Node:
    """Every call has one."""
    campaign_id, call_id = call_of(context, parent)
    return _call_json_node(context.catalog.call(call_id), campaign_id, call_id)


def _call_json_node(row: CallRow | None, campaign_id: int, call_id: int) -> Node:
    return Node(Kind.CALL_JSON, (call_id, campaign_id), place(CALLS_GROUP, row.seq, CALL_JSON_SLOT) if row else 0)


async def resolve_call_wav(context: Context, parent: Node, parts: Parts) -> Node:
    """`{file}.wav` by v1's list of the call; `{name}.wav` by the id of the recording of that name."""
    if context.account.v1 is None:
        raise NotInTree("WAVs are v1's")
    campaign_id, call_id = call_of(context, parent)
    if "file" in parts:
        file_id = int(parts["file"])
    else:
        file_id = (await _find_recording_in_call(context, parent, parts["name"])).id
    known = context.catalog.file(file_id)
    if known is None and campaign_id:
        await context.account.find_files(campaign_id, call_id, patience_seconds=LOOKUP_PATIENCE_SECONDS)
        known = context.catalog.file(file_id)
    if known is not None:
        if known.call_id != call_id:
            raise RemoteObjectMissing(f"file {file_id} is not of call {call_id}")
        return wav_node(file_id, known)
    recording = context.catalog.recording(file_id)
    if campaign_id or recording is None or recording.call_id != call_id:
        raise RemoteObjectMissing(f"v1 lists no file {file_id} for call {call_id}")
    # v1's list wants a campaign and the call has none: the file itself decides
    node = wav_node(file_id, None)
    await context.require_remote(wav_content(context, node))
    return node


async def resolve_call_mp3(context: Context, parent: Node, parts: Parts) -> Node:
    """`{name}.mp3`, and `{id}.mp3` where no recording of the call is named so."""
    return mp3_node(await _find_recording_in_call(context, parent, parts["name"]))


async def resolve_call_recording_json(context: Context, parent: Node, parts: Parts) -> Node:
    """`{name}.json` beside the MP3."""
    return json_node(await _find_recording_in_call(context, parent, parts["name"]))


async def _find_recording_in_call(context: Context, parent: Node, stem: str) -> RecordingRow:
    if context.account.v2 is None:
        raise NotInTree("names of recordings are v2's")
    campaign_id, call_id = call_of(context, parent)
    row = _known_in_call(context, call_id, stem)
    if row is None:
        try:
            await context.account.find_recordings(call_id, patience_seconds=LOOKUP_PATIENCE_SECONDS)
        except OperationNotOffered:
            name = decode_name(stem)
            await context.account.find_recording_by_name(call_id, name, patience_seconds=LOOKUP_PATIENCE_SECONDS)
        row = _known_in_call(context, call_id, stem)
    if row is None or (campaign_id and row.campaign_id and row.campaign_id != campaign_id):
        raise RemoteObjectMissing(f"call {call_id} has no recording of that name")
    return row


def _known_in_call(context: Context, call_id: int, stem: str) -> RecordingRow | None:
    row = context.catalog.recording_by_stem(call_id, stem)
    if row is None and (recording_id := parse_id(stem)) is not None:
        row = context.catalog.recording(recording_id)
        if row is not None and row.call_id != call_id:
            return None
    return row


async def prepare_call(context: Context, node: Node) -> None:
    """Ask v2 for the call's recordings, and v1 for its files where listings show WAVs; nothing that is known."""
    campaign_id, call_id = call_of(context, node)
    row = context.catalog.call(call_id)
    if context.account.v2 is not None and not (row is not None and row.recordings_known):
        try:
            await context.account.find_recordings(call_id, patience_seconds=None)
        except (OperationNotOffered, RemoteObjectMissing):
            pass  # v1 may know it, and what was looked up is shown
    wants_files = Form.WAV in shown_forms(context)
    if wants_files and context.account.v1 is not None and campaign_id and not (row is not None and row.files_known):
        try:
            await context.account.find_files(campaign_id, call_id, patience_seconds=None)
        except (AccessRefused, RemoteObjectMissing):
            if context.account.v2 is None:
                raise


def shown_forms(context: Context) -> tuple[Form, ...]:
    """The forms that listings show: those asked for, else MP3 where v2 lists recordings and WAV otherwise."""
    if context.settings.formats:
        return tuple(Form(name) for name in context.settings.formats)
    v2_lists = context.account.v2 is not None and context.account.offered.get(Family.CALLS) is not False
    return (Form.MP3,) if v2_lists else (Form.MP3, Form.WAV)


def call_entries(context: Context, node: Node, after: int) -> list[Entry]:
    """call.json, the recordings of v2 with their metadata, then the files of v1, as far as listings show them."""
    campaign_id, call_id = call_of(context, node)
    forms = shown_forms(context)
    entries = fixed(("call.json", _call_json_node(context.catalog.call(call_id), campaign_id, call_id)))
    recordings = context.catalog.recordings_of_call(call_id)
    for row in recordings:
        if Form.MP3 in forms:
            entries.append(Entry(row_offset(row.seq, 0), f"{row.stem}.mp3", mp3_node(row)))
        entries.append(Entry(row_offset(row.seq, 1), f"{row.stem}.json", json_node(row)))
    if Form.WAV in forms or not recordings:
        entries += [
            Entry(_FILES_OFFSET + row_offset(file.seq, 0), f"{file.id}.wav", wav_node(file.id, file))
            for file in context.catalog.files_of_call(call_id)
        ]
    return past(entries, after)


# -- recordings/ --


async def resolve_mp3(context: Context, _parent: Node, parts: Parts) -> Node:
    """v2's recording of that id."""
    return mp3_node(await _find_recording(context, int(parts["id"])))


async def resolve_json(context: Context, _parent: Node, parts: Parts) -> Node:
    """v2's recording of that id."""
    return json_node(await _find_recording(context, int(parts["id"])))


async def resolve_wav(context: Context, _parent: Node, parts: Parts) -> Node:
    """v1's file of that id: known from a list, else the file itself is asked."""
    if context.account.v1 is None:
        raise NotInTree("WAVs are v1's")
    file_id = int(parts["id"])
    node = wav_node(file_id, context.catalog.file(file_id))
    if not node.place:
        await context.require_remote(wav_content(context, node))
    return node


async def _find_recording(context: Context, recording_id: int) -> RecordingRow:
    if context.account.v2 is None:
        raise NotInTree("MP3s and metadata are v2's")
    row = context.catalog.recording(recording_id)
    if row is None:
        try:
            await context.account.find_recording(recording_id, patience_seconds=LOOKUP_PATIENCE_SECONDS)
        except OperationNotOffered as missing:
            raise RemoteObjectMissing("this origin has no recordings by id") from missing
        row = context.catalog.recording(recording_id)
    if row is None:
        raise RemoteObjectMissing(f"recording {recording_id}")
    return row


def recordings_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The recordings known from v2 with their metadata, then the files known from v1 alone."""
    forms = shown_forms(context)
    entries: list[Entry] = []
    if after < _FILES_OFFSET:
        for row in context.catalog.recordings(after_seq=seq_before(after)):
            if Form.MP3 in forms:
                entries.append(Entry(row_offset(row.seq, 0), f"{row.id}.mp3", mp3_node(row)))
            entries.append(Entry(row_offset(row.seq, 1), f"{row.id}.json", json_node(row)))
        entries = past(entries, after)
    if not entries and Form.WAV in forms:
        files = context.catalog.files(after_seq=seq_before(max(0, after - _FILES_OFFSET)))
        entries = [
            Entry(_FILES_OFFSET + row_offset(file.seq, 0), f"{file.id}.wav", wav_node(file.id, file)) for file in files
        ]
    return past(entries, after)


# -- contents --


def mp3_content(context: Context, node: Node) -> Remote:
    """By id; by name where the origin has no by-id form and the name is the only one of its kind in its call."""
    recording_id = int(node.args[0])
    row = context.catalog.recording(recording_id)
    key = f"recording/{recording_id}.mp3"
    if row is None:
        return Remote(key=key, sources=(v2_recording(recording_id),))
    sources: list[Source] = []
    if context.account.offered.get(Family.CALLS) is not False:
        sources.append(v2_recording(recording_id))
    namesakes = [other for other in context.catalog.recordings_of_call(row.call_id) if other.name == row.name]
    if row.call_id and len(namesakes) == 1:
        sources.append(v2_recording_by_name(row.call_id, row.name))
    hint = usable(Form.MP3, row.hint_nbytes, seconds=row.seconds, measures=None)
    return Remote(
        key=key,
        sources=tuple(sources) or (v2_recording(recording_id),),
        hint_nbytes=hint,
        created_ms=row.created_ms,
        state=row.state,
    )


def wav_content(context: Context, node: Node) -> Remote:
    """By file id; what v2 tells of the recording of the same id dates it, and sizes it where the hint is of a WAV."""
    file_id = int(node.args[0])
    key, sources = f"recording/{file_id}.wav", (v1_recording(file_id),)
    row = context.catalog.recording(file_id)
    if row is None:
        return Remote(key=key, sources=sources)
    hint = usable(Form.WAV, row.hint_nbytes, seconds=row.seconds, measures=None)
    return Remote(key=key, sources=sources, hint_nbytes=hint, created_ms=row.created_ms, state=row.state)


def recording_json(context: Context, node: Node) -> Content:
    """Every field that v2 sent for the recording."""
    row = context.catalog.recording(int(node.args[0]))
    if row is None:
        raise RemoteObjectMissing(f"recording {node.args[0]}")
    return Document(body=row.document, modified_ms=row.created_ms)
