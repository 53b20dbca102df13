"""Content of a call's files: sources and sizes of recordings, and metadata.

It owns from which sources a recording's bytes come, and which hint is its size. It must not know folders or names.
"""

from collections.abc import Callable, Sequence

from cffs.catalog.capabilities import Family
from cffs.catalog.rows import CallRow, ListedRecording, RecordingRow
from cffs.core.errors import AccessRefused, OperationNotOffered, OriginUnreachable, RemoteObjectMissing
from cffs.core.json_values import encode
from cffs.core.source import Source, v1_recording, v2_recording, v2_recording_by_name, wav_key
from cffs.core.values import RecordingState
from cffs.tree.contents import Content, Document, Remote
from cffs.tree.context import Context
from cffs.tree.nodes import CallJsonNode, Mp3Node, RecordingJsonNode, WavNode
from cffs.tree.size_hints import Form, usable


def mp3_content(context: Context, node: Mp3Node) -> Remote:
    """By id; by name where the origin has no by-id form, and no other recording of the call has that name."""
    row = context.catalog.recording(node.recording_id)
    if row is None:
        return Remote(key=f"recording/{node.recording_id}.mp3", sources=(v2_recording(node.recording_id),))
    namesakes = sum(other.name == row.name for other in context.catalog.recordings_of_call(row.call_id))
    return mp3_of(context, row, is_only_of_name=namesakes == 1)


def mp3_of(context: Context, row: RecordingRow, *, is_only_of_name: bool) -> Remote:
    """The MP3 of a row."""
    sources: list[Source] = []
    if context.account.capabilities.offers(Family.CALLS) is not False:
        sources.append(v2_recording(row.id))
    if row.call_id and is_only_of_name:
        sources.append(v2_recording_by_name(row.call_id, row.name))
    return Remote(
        key=f"recording/{row.id}.mp3",
        sources=tuple(sources) or (v2_recording(row.id),),
        hint_nbytes=_hint(context, row, Form.MP3),
        created_ms=row.created_ms,
        state=row.state,
        seen_ms=row.seen_ms,
    )


def mp3s_listed(context: Context, rows: Sequence[ListedRecording | RecordingRow]) -> list[Remote]:
    """What a listing shows of these recordings: no sources, since nothing is read through it."""
    is_shown = _hints_of(context, Form.MP3)
    return [
        Remote(
            f"recording/{row.id}.mp3",
            (),
            row.hint_nbytes if is_shown(row.hint_nbytes, row.seconds) else None,
            row.created_ms,
            _STATES.get(row.state, RecordingState.UNKNOWN),
            row.seen_ms,
        )
        for row in rows
    ]


_STATES = {state.value: state for state in RecordingState}


def _hint(context: Context, row: RecordingRow, form: Form) -> int | None:
    return row.hint_nbytes if _hints_of(context, form)(row.hint_nbytes, row.seconds) else None


def _hints_of(context: Context, form: Form) -> Callable[[int | None, int | None], bool]:
    """(hint, seconds) -> whether the hint is one for that form, as far as is known of hints now."""
    hints = context.catalog.hint_measure
    measured = hints.measured_form()
    if hints.is_not(form):
        return lambda _hint_nbytes, _seconds: False
    measures = Form(measured) if measured else None
    return lambda hint_nbytes, seconds: usable(form, hint_nbytes, seconds=seconds, measures=measures) is not None


def wav_content(context: Context, node: WavNode) -> Remote:
    """By file id. The recording of that id, where v2 has described it, dates the WAV, and sizes it where its hint is of
    a WAV."""
    file_id = node.file_id
    key, sources = wav_key(file_id), (v1_recording(file_id),)
    row = context.catalog.recording(file_id)
    if row is None:
        file = context.catalog.file(file_id)
        if file is None:
            return Remote(key=key, sources=sources)
        return Remote(key=key, sources=sources, state=_state_of_call(context, file.call_id), seen_ms=file.seen_ms)
    hint = _hint(context, row, Form.WAV)
    # ERROR means that a recording can be broken: most likely its MP3 is, and its WAV is the service's to give or refuse
    state = RecordingState.UNKNOWN if row.state is RecordingState.ERROR else row.state
    return Remote(
        key=key, sources=sources, hint_nbytes=hint, created_ms=row.created_ms, state=state, seen_ms=row.seen_ms
    )


def _state_of_call(context: Context, call_id: int) -> RecordingState:
    """The state of a file of that call (0: of none that is known). Where v1 numbers its files otherwise than v2, it may
    be the one of the call's recordings that is in progress."""
    rows = context.catalog.recordings_of_call(call_id) if call_id else []
    is_growing = any(row.state is RecordingState.RECORDING for row in rows)
    return RecordingState.RECORDING if is_growing else RecordingState.READY


def recording_json(context: Context, node: RecordingJsonNode) -> Content:
    """Every field that v2 sent for the recording."""
    row = context.catalog.recording(node.recording_id)
    if row is None:
        raise RemoteObjectMissing(f"recording {node.recording_id}")
    return json_of(row)


def json_of(row: RecordingRow) -> Document:
    """The metadata of a row."""
    is_growing = row.state is RecordingState.RECORDING
    return Document(body=row.document, modified_ms=row.dated_ms, volatile=is_growing)


def call_json(context: Context, node: CallJsonNode) -> Content:
    """What v2 has said of the call, else the ids that are known."""
    return call_json_of(context, context.catalog.call(node.call_id), node)


def call_json_of(context: Context, row: CallRow | None, node: CallJsonNode) -> Document:
    """The metadata of a call by its row. Where only the id is known, v2 is asked once."""
    modified_ms = row.dated_ms if row is not None else None
    if row is not None and row.document is not None:
        return Document(body=row.document, modified_ms=modified_ms)
    if not context.account.may_describe("call", node.call_id):
        return Document(body=_known_of_call(context, node), modified_ms=modified_ms)

    async def load() -> bytes:
        try:
            await context.account.find_call(node.call_id, patience_seconds=None)
        except (RemoteObjectMissing, OperationNotOffered, AccessRefused, OriginUnreachable):
            pass  # v2 has nothing to add now; the ids are what is known
        found = context.catalog.call(node.call_id)
        if found is not None and found.document is not None:
            return found.document
        return _known_of_call(context, node)

    return Document(body=None, load=load, modified_ms=modified_ms)


def _known_of_call(context: Context, node: CallJsonNode) -> bytes:
    known: dict[str, object] = {"id": node.call_id}
    if node.campaign_id:
        known["campaignId"] = node.campaign_id
    files = [file.id for file in context.catalog.files_of_call(node.call_id)]
    if files:
        known["files"] = files
    return encode(known)
