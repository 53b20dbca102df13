"""Audio files of the views: their names and offsets, and which one a name means.

It owns these names, which are the same in every view. It must not know what brings a recording into a folder: each view
says that. A file is the same node in each.
"""

from collections.abc import Callable
from operator import attrgetter
from zoneinfo import ZoneInfo

from cffs.catalog.rows import ListedRecording, RecordingRow
from cffs.catalog.views import ViewRow
from cffs.core.errors import OperationNotOffered, RemoteObjectMissing
from cffs.core.listed_names import UNKNOWN_NUMBER, id_in, is_dated, other_side
from cffs.core.times import title_stamp
from cffs.core.units import NS_PER_MS
from cffs.tree.contents import Entry
from cffs.tree.context import FIRST_ROW_OFFSET, Context, past, row_offset
from cffs.tree.listing_lookup import know
from cffs.tree.node_handlers import N, Parts
from cffs.tree.nodes import Mp3Node, Node, WavNode
from cffs.tree.recording_content import mp3s_listed, wav_content
from cffs.tree.recordings import shown_forms, wavs_are_sure
from cffs.tree.size_hints import Form
from cffs.tree.unproven import Question, denied_for_now

_ENTRIES_A_ROW = row_offset(1, 0) - row_offset(0, 0)
_LAST_SLOT = 1

IsMember = Callable[[Context, N, ViewRow], bool]


def zone_of(context: Context) -> ZoneInfo:
    """The zone of days and times of day."""
    return context.catalog.zone


def stamp_of(context: Context, row: ViewRow) -> str:
    """When the recording was made, as it stands at the beginning of titles."""
    created_ms = row.recording.created_ms
    if created_ms is None or not is_dated(created_ms):
        return "undated"
    return title_stamp(created_ms * NS_PER_MS, zone=zone_of(context))


def other_number(row: ViewRow) -> str:
    """The number of the other party, as the service spells it."""
    number = other_side(
        inbound=row.inbound,
        from_number=row.from_number,
        to_number=row.to_number,
        tried_number=row.recording.tried_number,
    )
    return number.strip() or UNKNOWN_NUMBER


def name_of(context: Context, row: ListedRecording | RecordingRow, form: Form) -> str:
    """The name under which every folder but its call's lists it."""
    return f"{row.id if context.settings.lists_ids else row.listed}.{form}"


def _is_called(row: ViewRow, stem: str) -> bool:
    """True where that is a name of the recording: both open, whichever is listed."""
    return stem in (row.recording.listed, str(row.recording.id))


def with_files(context: Context) -> bool:
    """True where a listing depends on which files v1 has listed."""
    return Form.WAV in shown_forms(context)


def as_listed(rows: list[ViewRow]) -> list[ListedRecording]:
    """The part of the rows that listings show."""
    return [
        ListedRecording(
            row.recording.seq,
            row.recording.id,
            row.recording.listed,
            row.recording.created_ms,
            row.recording.hint_nbytes,
            row.recording.seconds,
            row.recording.state,
            row.recording.seen_ms,
            row.file_seq,
        )
        for row in rows
    ]


def entries_after(
    context: Context,
    after: int,
    rows_after: Callable[[int], list[ListedRecording]],
    offset_of: Callable[[ListedRecording], int],
) -> list[Entry]:
    """The next entries past the offset `after`; [] only after the last of all.

    `rows_after` returns the rows whose second offset lies past a given one, `offset_of` a row's first offset (its
    second one is the next number).
    """
    at = after
    while rows := rows_after(at):
        if found := past(entries_of(context, rows, offset_of), after):
            return found
        at = last_offset(rows, offset_of)
    return []


def entries_of(
    context: Context, rows: list[ListedRecording], offset_of: Callable[[ListedRecording], int]
) -> list[Entry]:
    """The files of some rows, in the order of the rows."""
    forms, lists_ids = shown_forms(context), context.settings.lists_ids
    context.catalog.read_facts(f"recording/{row.id}.{form}" for form in forms for row in rows)
    entries = []
    if Form.MP3 in forms:
        entries = [
            Entry(offset_of(row), f"{row.id if lists_ids else row.listed}.mp3", Mp3Node(row.id), content)
            for row, content in zip(rows, mp3s_listed(context, rows), strict=True)
        ]
    if Form.WAV in forms:
        are_sure = wavs_are_sure(context)
        for row in rows:
            if row.file_seq is not None or are_sure:
                node = WavNode(row.id)
                content = wav_content(context, node)
                entries.append(Entry(offset_of(row) + 1, name_of(context, row, Form.WAV), node, content))
        entries.sort(key=attrgetter("offset"))
    return entries


def last_offset(rows: list[ListedRecording], offset_of: Callable[[ListedRecording], int]) -> int:
    """The last offset of what some rows make."""
    return offset_of(rows[-1]) + _LAST_SLOT


def first_offset(row: ListedRecording) -> int:
    """The first offset of a row in a folder that is ordered by sequence number."""
    return row_offset(row.seq, 0)


def seq_done(offset: int) -> int:
    """The last sequence number whose offsets all lie at or before `offset`."""
    seq, slot = divmod(max(0, offset - FIRST_ROW_OFFSET), _ENTRIES_A_ROW)
    return seq if slot >= _LAST_SLOT else max(0, seq - 1)


def resolver(form: Form, is_member: IsMember[N]) -> Callable[[Context, N, Parts], Node | Question]:
    """The function that finds `{name}.{form}` in a folder that holds what `is_member` says."""

    def resolve(context: Context, parent: N, parts: Parts) -> Node | Question:
        recording_id = id_in(parts["name"])
        if recording_id is None or context.account.v2 is None:
            raise RemoteObjectMissing("no file of a view is called so")
        if form is Form.WAV and context.account.v1 is None:
            raise RemoteObjectMissing("WAVs are v1's")

        def known() -> ViewRow | None:
            row = context.catalog.views.recording(recording_id)
            return row if row and is_member(context, parent, row) and _is_called(row, parts["name"]) else None

        wav = WavNode(recording_id)
        node = Mp3Node(recording_id) if form is Form.MP3 else wav
        is_listed = known() is not None
        if not is_listed and (context.listings.was_listed("recordings") or not context.can_deny_calls):
            raise denied_for_now("no recording of that name is known here")
        if is_listed and (form is Form.MP3 or _is_known_wav(context, wav)):
            return node

        async def ask() -> Node:
            if known() is None:
                await _ask_by_id(context, recording_id)
            if known() is None:
                raise RemoteObjectMissing("no recording of that name is known here")
            if form is Form.WAV and not _is_known_wav(context, wav):
                await context.require_remote(wav_content(context, wav))
            return node

        return Question(node, ask)

    return resolve


async def _ask_by_id(context: Context, recording_id: int) -> None:
    """Have v2 describe a recording and its call, of which its name and its folders are made: two requests, where the
    listing would be all there is. Where v2 cannot be asked by id, the listing is waited for."""
    account, catalog = context.account, context.catalog
    try:
        if catalog.recording(recording_id) is None:
            await account.find_recording(recording_id, patience_seconds=None)
        row = catalog.recording(recording_id)
        call = catalog.call(row.call_id) if row is not None and row.call_id else None
        if row is not None and call is not None and call.document is None:
            await account.find_call(row.call_id, patience_seconds=None)
    except OperationNotOffered:
        await know(context, "recordings")


def _is_known_wav(context: Context, node: WavNode) -> bool:
    return context.catalog.file(node.file_id) is not None or context.is_known(wav_content(context, node))
