"""recordings/ and the audio in a call's folder: which forms exist, under which names, from which sources.

It must not know campaigns beyond the ids of the folder it is asked about.
The namespace calls it. v1 gives WAVs by file id, v2 MP3s and metadata by name or id; which of them a listing shows
is decided in `shown_forms`, lookup finds every form.
"""

from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter

import trio

from cffs.catalog.call_cache import Beside
from cffs.catalog.capabilities import Verdict
from cffs.catalog.rows import FileRow, ListedRecording, RecordingRow
from cffs.catalog.single_flight import MISSING_SECONDS
from cffs.core.errors import NotInTree, OperationNotOffered, RemoteObjectMissing
from cffs.core.ids import parse_id
from cffs.core.names import decode_name, encode_name
from cffs.core.source import v2_recording, v2_recording_by_name
from cffs.tree.context import Context, past, row_offset, seq_before
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import DIRECT, Entry, Kind, Node, Remote
from cffs.tree.recording_content import call_json_of, json_of, mp3_content, mp3s_listed, wav_content
from cffs.tree.size_hints import Form
from cffs.tree.unlisted_recordings import is_state_told, require_named, require_recording
from cffs.tree.unproven import Question, denied

#: WAVs that only v1's list told of stand behind everything that v2's rows make, in a range of places of their own.
FILES_OFFSET = 1 << 56


def mp3_node(row: RecordingRow) -> Node:
    """A recording's MP3."""
    return Node(Kind.MP3, (row.id,))


def json_node(row: RecordingRow) -> Node:
    """A recording's metadata."""
    return Node(Kind.RECORDING_JSON, (row.id,))


def wav_node(file_id: int) -> Node:
    """A recording's WAV."""
    return Node(Kind.WAV, (file_id,))


def call_of(context: Context, folder: Node) -> tuple[int, int]:
    """(campaign id or 0, call id) of a call's folder."""
    if folder.kind is Kind.CALL:
        return int(folder.args[0]), int(folder.args[1])
    call_id = int(folder.args[0])
    row = context.catalog.call(call_id)
    return (row.campaign_id if row else 0), call_id


def beside(folder: Node) -> Beside:
    """Beside which others the folder of a call is listed."""
    if folder.kind is Kind.CALL:
        return Beside.CAMPAIGN
    return Beside.ALL if folder.args[-1] == DIRECT else Beside.MONTH


# -- a call's folder --


def resolve_call_json(context: Context, parent: Node, _parts: Parts) -> Node:
    """Every call has one."""
    campaign_id, call_id = call_of(context, parent)
    return Node(Kind.CALL_JSON, (call_id, campaign_id))


def resolve_call_wav(context: Context, parent: Node, parts: Parts) -> Node | Question:
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


def _wav_in_call(context: Context, parent: Node, file_id: int) -> Node | Question:
    campaign_id, call_id = call_of(context, parent)
    known = context.catalog.listed_file(file_id)
    if known is not None:
        if not _is_file_of(known, parent, call_id):
            raise RemoteObjectMissing(f"file {file_id} is not of call {call_id}")
        return _file(context, file_id, wav_node(file_id), wav_content, is_listed=is_state_told(context, file_id))
    recording = context.catalog.recording(file_id)
    is_of_call = recording is not None and recording.call_id == call_id
    node = wav_node(file_id)
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
    # v1's list wants a campaign and the call has none: the file itself decides
    if context.is_known(wav_content(context, node)):
        return node

    async def ask_file() -> Node:
        await context.require_remote(wav_content(context, node))
        return node

    return Question(node, ask_file)


def _is_file_of(file: FileRow, folder: Node, call_id: int) -> bool:
    """True where the folder is the one that v1's list put the file in; below calls/ the campaign does not count."""
    return file.call_id == call_id and (folder.kind is not Kind.CALL or file.campaign_id == folder.args[0])


def resolve_call_mp3(context: Context, parent: Node, parts: Parts) -> Node | Question:
    """`{name}.mp3`, and `{id}.mp3` where no recording of the call is named so."""
    found = _recording_in_call(context, parent, parts["name"])
    if isinstance(found, RecordingRow):
        return mp3_node(found)
    recording_id = parse_id(parts["name"])
    source = v2_recording_by_name(call_of(context, parent)[1], decode_name(parts["name"]))
    if recording_id is not None and context.can_deny_calls:
        source = v2_recording(recording_id)

    async def ask() -> Node:
        return mp3_node(await require_named(context, source, found, lambda row: mp3_content(context, mp3_node(row))))

    return Question(None, ask)


def resolve_call_recording_json(context: Context, parent: Node, parts: Parts) -> Node | Question:
    """`{name}.json` beside the MP3."""
    return _of_recording(_recording_in_call(context, parent, parts["name"]), json_node)


#: A row, or what asks for it.
_Found = RecordingRow | Callable[[], Awaitable[RecordingRow]]


def _of_recording(found: _Found, node_of: Callable[[RecordingRow], Node], node: Node | None = None) -> Node | Question:
    """The node that `node_of` makes of a row, and what it is called as long as there is none."""
    if isinstance(found, RecordingRow):
        return node_of(found)

    async def ask() -> Node:
        return node_of(await found())

    return Question(node, ask)


def _recording_in_call(context: Context, parent: Node, stem: str) -> _Found:
    if context.account.v2 is None:
        raise NotInTree("names of recordings are v2's")
    campaign_id, call_id = call_of(context, parent)

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
        try:
            await account.find_recordings(call_id, patience_seconds=None, within_seconds=MISSING_SECONDS)
        except OperationNotOffered:
            await account.find_recording_by_name(call_id, decode_name(stem), patience_seconds=None)
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
        # Its own name opens too where the folder had to give it another (`call`): where nothing lists recordings,
        # it is the only one that can be known
        namesakes = (other for other in context.catalog.recordings_of_call(call_id) if encode_name(other.name) == stem)
        row = next(namesakes, None)
    return row


def shown_forms(context: Context) -> tuple[Form, ...]:
    """The forms that listings show: those asked for, else MP3 where v2 lists recordings and WAV otherwise."""
    if context.settings.formats:
        return tuple(Form(name) for name in context.settings.formats)
    return (Form.MP3,) if context.v2_lists_calls else (Form.MP3, Form.WAV)


def call_entries(context: Context, node: Node, after: int) -> list[Entry]:
    """call.json, the recordings of v2 with their metadata, then the files of v1, as far as listings show them."""
    campaign_id, call_id = call_of(context, node)
    forms = shown_forms(context)
    row, recordings = context.catalog.call_folder(call_id, beside=beside(node))
    node_of_json = Node(Kind.CALL_JSON, (call_id, campaign_id))
    entries = [Entry(1, "call.json", node_of_json, call_json_of(context, row, campaign_id, call_id))]
    for recording, mp3 in zip(recordings, mp3s_listed(context, recordings), strict=True):
        first = row_offset(recording.seq, 0)
        if Form.MP3 in forms:
            entries.append(Entry(first, f"{recording.stem}.mp3", mp3_node(recording), mp3))
        entries.append(Entry(first + 1, f"{recording.stem}.json", json_node(recording), json_of(recording)))
    may_have_files = row is not None and row.files_known and (Form.WAV in forms or not recordings)
    files = context.catalog.files_of_call(call_id) if may_have_files else []
    if Form.WAV in forms and wavs_are_sure(context):
        listed = {file.id for file in files}
        for recording in recordings:
            if recording.id not in listed:
                place_of_wav = row_offset(recording.seq, 2)
                entries.append(Entry(place_of_wav, f"{recording.id}.wav", wav_node(recording.id)))
    if files:
        entries += [
            Entry(FILES_OFFSET + row_offset(file.seq, 0), f"{file.id}.wav", wav_node(file.id))
            for file in files
            if _is_file_of(file, node, call_id)
        ]
    return past(sorted(entries, key=attrgetter("offset")), after)


def wavs_are_sure(context: Context) -> bool:
    """Every recording of v2 is known to have a WAV under its own id."""
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
    is_listed = row is not None and is_state_told(context, recording_id)
    return _file(context, recording_id, Node(Kind.MP3, (recording_id,)), mp3_content, is_listed=is_listed)


def resolve_json(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """v2's recording of that id."""
    recording_id = int(parts["id"])
    return _of_recording(_recording(context, recording_id), json_node, Node(Kind.RECORDING_JSON, (recording_id,)))


def resolve_wav(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """v1's file of that id: known from a list, else the file itself is asked."""
    if context.account.v1 is None:
        raise NotInTree("WAVs are v1's")
    file_id = int(parts["id"])
    is_listed = context.catalog.file(file_id) is not None and is_state_told(context, file_id)
    return _file(context, file_id, wav_node(file_id), wav_content, is_listed=is_listed)


def _file(
    context: Context,
    recording_id: int,
    node: Node,
    content: Callable[[Context, Node], Remote],
    *,
    is_listed: bool,
) -> Node | Question:
    """A file by its id: known where a row tells of it, or the file itself was asked before."""
    if is_listed or context.is_known(content(context, node)):
        return node

    async def ask() -> Node:
        await require_recording(context, content(context, node), recording_id)
        return node

    return Question(node, ask)


def _recording(context: Context, recording_id: int) -> _Found:
    if context.account.v2 is None:
        raise NotInTree("MP3s and metadata are v2's")
    row = context.catalog.recording(recording_id)
    if row is not None and not (row.is_untold and context.account.completing.may_tell_recording(recording_id)):
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
    """The recordings known from v2, with their metadata where ids are listed; then the files known from v1 alone."""
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
                entries.append(Entry(row_offset(row.seq, 0), f"{row.id}.mp3", Node(Kind.MP3, (row.id,)), mp3))
            if Form.WAV in forms and wavs_are_sure(context) and context.catalog.file(row.id) is None:
                entries.append(Entry(row_offset(row.seq, 2), f"{row.id}.wav", wav_node(row.id)))
        if described:
            entries += [
                Entry(row_offset(row.seq, 1), f"{row.id}.json", json_node(row), json_of(row)) for row in described
            ]
            entries.sort(key=attrgetter("offset"))
        entries = past(entries, after)
    if not entries and Form.WAV in forms:
        files = context.catalog.files(after_seq=seq_before(max(0, after - FILES_OFFSET)))
        entries = [Entry(FILES_OFFSET + row_offset(file.seq, 0), f"{file.id}.wav", wav_node(file.id)) for file in files]
    return past(entries, after)
