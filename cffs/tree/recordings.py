"""recordings/ and the audio in a call's folder: which forms, under which names.

It owns which forms a listing shows (`shown_forms`); a lookup finds every form. It must not know campaigns beyond the id
in a folder's node. v1 gives WAVs by file id, v2 MP3s and metadata by name or id.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter

import trio

from cffs.catalog.call_cache import Beside
from cffs.catalog.capabilities import Family, Verdict
from cffs.catalog.rows import FileRow, ListedRecording, RecordingRow
from cffs.catalog.single_flight import MISSING_SECONDS, ask_together
from cffs.core.errors import NotInTree, OperationNotOffered, RemoteObjectMissing
from cffs.core.ids import parse_id
from cffs.core.names import decode_name, encode_name
from cffs.core.source import v2_recording, v2_recording_by_name
from cffs.tree.contents import Entry, Remote
from cffs.tree.context import Context, past, row_offset, seq_before
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import (
    DIRECT,
    CallFolderNode,
    CallJsonNode,
    CallNode,
    LoneCallNode,
    Mp3Node,
    Node,
    RecordingJsonNode,
    WavNode,
)
from cffs.tree.recording_content import call_json_of, json_of, mp3_content, mp3s_listed, wav_content
from cffs.tree.size_hints import Form
from cffs.tree.unlisted_recordings import is_state_known, require_named, require_recording
from cffs.tree.unproven import Question, denied

#: WAVs that only v1 has listed come after all that v2's rows make, in a range of offsets of their own.
FILES_OFFSET = 1 << 56


def campaign_of(context: Context, folder: CallFolderNode) -> int:
    """The id of the campaign of a call's folder; 0 where there is none, or none is known."""
    if isinstance(folder, CallNode):
        return folder.campaign_id
    row = context.catalog.call(folder.call_id)
    return row.campaign_id if row else 0


def beside(folder: CallFolderNode) -> Beside:
    """With which other calls the folder of a call is listed."""
    if isinstance(folder, CallNode):
        return Beside.CAMPAIGN
    return Beside.ALL if folder.way == DIRECT else Beside.MONTH


# -- a call's folder --


def resolve_call_json(context: Context, parent: CallFolderNode, _parts: Parts) -> Node:
    """Every call has metadata."""
    return CallJsonNode(parent.call_id, campaign_of(context, parent))


def resolve_call_wav(context: Context, parent: CallFolderNode, parts: Parts) -> Node | Question:
    """`{file}.wav` by v1's list of the call; `{name}.wav` by the id of the recording of that name."""
    if context.account.v1 is None:
        raise NotInTree("WAVs are v1's")
    if "file" in parts:
        return _wav_in_call(context, parent, int(parts["file"]))
    named = _recording_in_call(context, parent, parts["name"])
    if isinstance(named, RecordingRow):
        return _wav_in_call(context, parent, named.id)

    async def ask() -> Node:
        found = _wav_in_call(context, parent, (await named()).id)
        return await found.ask() if isinstance(found, Question) else found

    return Question(None, ask)


def _wav_in_call(context: Context, parent: CallFolderNode, file_id: int) -> Node | Question:
    campaign_id, call_id = campaign_of(context, parent), parent.call_id
    known = context.catalog.listed_file(file_id)
    if known is not None:
        if not _is_file_of(known, parent):
            raise RemoteObjectMissing(f"file {file_id} is not of call {call_id}")
        return _wav(context, file_id, is_listed=is_state_known(context, file_id))
    recording = context.catalog.recording(file_id)
    is_of_call = recording is not None and recording.call_id == call_id
    node = WavNode(file_id)
    if is_of_call and wavs_are_sure(context):
        return node
    reason = f"v1 lists no file {file_id} for call {call_id}"
    if campaign_id:
        asked_at = context.account.files_asked_at(campaign_id, call_id)
        if asked_at is not None and trio.current_time() - asked_at < MISSING_SECONDS:
            raise denied(reason, answered_at=asked_at)

        async def ask_list() -> Node:
            account = context.account
            await account.find_files(campaign_id, call_id, patience_seconds=None, within_seconds=MISSING_SECONDS)
            if context.catalog.listed_file(file_id) is None:
                raise RemoteObjectMissing(reason)
            found = _wav_in_call(context, parent, file_id)
            return await found.ask() if isinstance(found, Question) else found

        return Question(node, ask_list)
    if not is_of_call:
        raise RemoteObjectMissing(reason)
    # v1's list needs a campaign, and the call has none: the file itself decides
    if context.is_known(wav_content(context, node)):
        return node

    async def ask_file() -> Node:
        await context.require_remote(wav_content(context, node))
        return node

    return Question(node, ask_file)


def _is_file_of(file: FileRow, folder: CallFolderNode) -> bool:
    """True where v1's list put the file in that folder; below calls/ the campaign does not count."""
    is_of_campaign = isinstance(folder, LoneCallNode) or file.campaign_id == folder.campaign_id
    return file.call_id == folder.call_id and is_of_campaign


def resolve_call_mp3(context: Context, parent: CallFolderNode, parts: Parts) -> Node | Question:
    """`{name}.mp3`; and `{id}.mp3`, where no recording of the call has that name."""
    found = _recording_in_call(context, parent, parts["name"])
    if isinstance(found, RecordingRow):
        return Mp3Node(found.id)
    recording_id = parse_id(parts["name"])
    source = v2_recording_by_name(parent.call_id, decode_name(parts["name"]))
    if recording_id is not None and context.can_deny_calls:
        source = v2_recording(recording_id)

    async def ask() -> Node:
        row = await require_named(context, source, found, lambda row: mp3_content(context, Mp3Node(row.id)))
        return Mp3Node(row.id)

    return Question(None, ask)


def resolve_call_recording_json(context: Context, parent: CallFolderNode, parts: Parts) -> Node | Question:
    """`{name}.json` beside the MP3."""
    return _json_of(_recording_in_call(context, parent, parts["name"]))


#: A row, or the function that asks for it.
_Found = RecordingRow | Callable[[], Awaitable[RecordingRow]]


def _json_of(found: _Found, node: RecordingJsonNode | None = None) -> Node | Question:
    """The metadata of the recording; `node` is their node while there is no row, where it is known."""
    if isinstance(found, RecordingRow):
        return RecordingJsonNode(found.id)

    async def ask() -> Node:
        return RecordingJsonNode((await found()).id)

    return Question(node, ask)


def _recording_in_call(context: Context, parent: CallFolderNode, stem: str) -> _Found:
    if context.account.v2 is None:
        raise NotInTree("names of recordings are v2's")
    campaign_id, call_id = campaign_of(context, parent), parent.call_id
    reason = f"call {call_id} has no recording of that name"

    def known() -> RecordingRow | None:
        row = _known_in_call(context, call_id, stem)
        if row is not None and campaign_id and row.campaign_id and row.campaign_id != campaign_id:
            raise RemoteObjectMissing(reason)
        return row

    if (row := known()) is not None:
        return row
    asked_at = context.account.recordings_asked_at(call_id)
    if asked_at is not None and trio.current_time() - asked_at < MISSING_SECONDS:
        raise denied(reason, answered_at=asked_at)

    async def ask() -> RecordingRow:
        account = context.account
        listed = partial(account.find_recordings, call_id, patience_seconds=None, within_seconds=MISSING_SECONDS)
        named = partial(account.find_recording_by_name, call_id, decode_name(stem), patience_seconds=None)
        await account.hear_of_call(call_id)
        if (row := known()) is not None:
            return row
        if account.capabilities.offers(Family.CALLS) is None and parse_id(stem) is None:
            # every origin finds a recording by its name; whether this one lists those of a call is not known yet
            await ask_together(listed(), named(), until=lambda: _known_in_call(context, call_id, stem) is not None)
            if (row := known()) is not None:
                return row
        try:
            await listed()
        except OperationNotOffered:
            await named()
        if (row := known()) is None:
            raise RemoteObjectMissing(reason)
        return row

    return ask


def _known_in_call(context: Context, call_id: int, stem: str) -> RecordingRow | None:
    row = context.catalog.recording_by_stem(call_id, stem)
    if row is None and (recording_id := parse_id(stem)) is not None:
        row = context.catalog.recording(recording_id)
        if row is not None and row.call_id != call_id:
            row = None
    if row is None:
        # Its own name opens too, where the folder had to give it another one (`call`): where nothing lists recordings,
        # its own is the only one that can be known
        namesakes = (other for other in context.catalog.recordings_of_call(call_id) if encode_name(other.name) == stem)
        row = next(namesakes, None)
    return row


def shown_forms(context: Context) -> tuple[Form, ...]:
    """The forms that listings show: those asked for; else MP3 where v2 lists recordings, and both otherwise."""
    if context.settings.formats:
        return tuple(Form(name) for name in context.settings.formats)
    return (Form.MP3,) if context.v2_lists_calls else (Form.MP3, Form.WAV)


def call_entries(context: Context, node: CallFolderNode, after: int) -> list[Entry]:
    """call.json, the recordings of v2 with their metadata, then the files of v1, in the forms that listings show."""
    campaign_id, call_id = campaign_of(context, node), node.call_id
    forms = shown_forms(context)
    row, recordings = context.catalog.call_folder(call_id, beside=beside(node))
    call_json = CallJsonNode(call_id, campaign_id)
    entries = [Entry(1, "call.json", call_json, call_json_of(context, row, call_json))]
    for recording, mp3 in zip(recordings, mp3s_listed(context, recordings), strict=True):
        first = row_offset(recording.seq, 0)
        if Form.MP3 in forms:
            entries.append(Entry(first, f"{recording.stem}.mp3", Mp3Node(recording.id), mp3))
        entries.append(Entry(first + 1, f"{recording.stem}.json", RecordingJsonNode(recording.id), json_of(recording)))
    may_have_files = row is not None and row.files_known and (Form.WAV in forms or not recordings)
    files = context.catalog.files_of_call(call_id) if may_have_files else []
    if Form.WAV in forms and wavs_are_sure(context):
        listed = {file.id for file in files}
        for recording in recordings:
            if recording.id not in listed:
                offset = row_offset(recording.seq, 2)
                entries.append(Entry(offset, f"{recording.id}.wav", WavNode(recording.id)))
    if files:
        entries += [
            Entry(FILES_OFFSET + row_offset(file.seq, 0), f"{file.id}.wav", WavNode(file.id))
            for file in files
            if _is_file_of(file, node)
        ]
    return past(sorted(entries, key=attrgetter("offset")), after)


def wavs_are_sure(context: Context) -> bool:
    """True where every recording of v2 is known to have a WAV under its own id."""
    return context.account.v1 is not None and context.account.file_ids.verdict is Verdict.SAME


# -- recordings/ --


def resolve_mp3(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """v2's recording of that id."""
    if context.account.v2 is None:
        raise NotInTree("MP3s are v2's")
    recording_id = int(parts["id"])
    row = context.catalog.recording(recording_id)
    if row is None and not context.can_deny_calls:
        raise RemoteObjectMissing("this origin has no recordings by id")
    is_listed = row is not None and is_state_known(context, recording_id)
    node = Mp3Node(recording_id)
    return _file(context, recording_id, node, lambda: mp3_content(context, node), is_listed=is_listed)


def resolve_json(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """v2's recording of that id."""
    recording_id = int(parts["id"])
    return _json_of(_recording(context, recording_id), RecordingJsonNode(recording_id))


def resolve_wav(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """v1's file of that id: known from a list, else the service is asked for the file."""
    if context.account.v1 is None:
        raise NotInTree("WAVs are v1's")
    file_id = int(parts["id"])
    is_listed = context.catalog.file(file_id) is not None and is_state_known(context, file_id)
    return _wav(context, file_id, is_listed=is_listed)


def _wav(context: Context, file_id: int, *, is_listed: bool) -> Node | Question:
    node = WavNode(file_id)
    return _file(context, file_id, node, lambda: wav_content(context, node), is_listed=is_listed)


def _file(
    context: Context, recording_id: int, node: Node, content: Callable[[], Remote], *, is_listed: bool
) -> Node | Question:
    """A file by its id: known where a row names it, or where the file was asked for before."""
    if is_listed or context.is_known(content()):
        return node

    async def ask() -> Node:
        await require_recording(context, content(), recording_id)
        return node

    return Question(node, ask)


def _recording(context: Context, recording_id: int) -> _Found:
    if context.account.v2 is None:
        raise NotInTree("MP3s and metadata are v2's")
    row = context.catalog.recording(recording_id)
    if row is not None and not (row.is_undescribed and context.account.may_describe("recording", recording_id)):
        return row

    async def ask() -> RecordingRow:
        try:
            await context.account.find_recording(recording_id, patience_seconds=None)
        except OperationNotOffered as missing:
            raise RemoteObjectMissing("this origin has no recordings by id") from missing
        row = context.catalog.recording(recording_id)
        if row is None:
            raise RemoteObjectMissing(f"recording {recording_id}")
        return row

    return ask


def recordings_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The recordings of v2, with their metadata where ids are listed; then the files that only v1 knows."""
    forms = shown_forms(context)
    entries: list[Entry] = []
    if after < FILES_OFFSET:
        described = context.catalog.recordings(after_seq=seq_before(after)) if context.settings.lists_ids else []
        rows: Sequence[ListedRecording | RecordingRow] = described or context.catalog.views.recordings(
            after_seq=seq_before(after)
        )
        context.catalog.read_facts(f"recording/{row.id}.{form}" for form in forms for row in rows)
        for row, mp3 in zip(rows, mp3s_listed(context, rows), strict=True):
            if Form.MP3 in forms:
                entries.append(Entry(row_offset(row.seq, 0), f"{row.id}.mp3", Mp3Node(row.id), mp3))
            if Form.WAV in forms and wavs_are_sure(context) and context.catalog.file(row.id) is None:
                entries.append(Entry(row_offset(row.seq, 2), f"{row.id}.wav", WavNode(row.id)))
        if described:
            entries += [
                Entry(row_offset(row.seq, 1), f"{row.id}.json", RecordingJsonNode(row.id), json_of(row))
                for row in described
            ]
            entries.sort(key=attrgetter("offset"))
        entries = past(entries, after)
    if not entries and Form.WAV in forms:
        files = context.catalog.files(after_seq=seq_before(max(0, after - FILES_OFFSET)))
        entries = [Entry(FILES_OFFSET + row_offset(file.seq, 0), f"{file.id}.wav", WavNode(file.id)) for file in files]
    return past(entries, after)
