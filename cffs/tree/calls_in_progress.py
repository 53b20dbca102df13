"""Recordings in progress: their state is asked for while a program looks at them.

It owns when each state was last asked for. It must not know bytes.
"""

from contextlib import suppress

import trio
from cachetools import TTLCache

from cffs.catalog.rows import RecordingRow
from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS
from cffs.core.errors import CffsError, OperationNotOffered
from cffs.core.values import RecordingState
from cffs.tree.contents import Content, Document, Remote
from cffs.tree.context import Context
from cffs.tree.nodes import Mp3Node, Node, RecordingJsonNode, WavNode

#: A state is asked for at most once in this time (`cffs/docs/semantics.md#calls-in-progress`).
LOOK_SECONDS = 1.0
#: Recordings in progress that are remembered; with more, some are asked for more often.
_MOST = 10_000
#: Nodes of files that can belong to a recording in progress.
OfRecording = Mp3Node | WavNode | RecordingJsonNode


def is_being_made(content: Content) -> bool:
    """True for bytes that the service is still writing."""
    return isinstance(content, Remote) and content.state is RecordingState.RECORDING


def unfinished_recordings(context: Context, node: OfRecording) -> list[RecordingRow]:
    """The recordings in progress that decide whether a file is finished."""
    ident = node.file_id if isinstance(node, WavNode) else node.recording_id
    row = context.catalog.recording(ident)
    found = [row] if row is not None else []
    if row is None and isinstance(node, WavNode) and (file := context.catalog.listed_file(ident)) is not None:
        # where v1 numbers its files otherwise, nothing says which of the call's recordings it is
        found = context.catalog.recordings_of_call(file.call_id)
    return [row for row in found if row.state is RecordingState.RECORDING]


async def ask_state(context: Context, recording_id: int) -> None:
    """Have v2 describe a recording that has no row, so that what has been recorded so far is not taken for all of it. A
    checkpoint where it asks. What v2 does not know, or does not answer within a lookup's patience, stays unknown."""
    account = context.account
    if account.v2 is None or context.catalog.recording(recording_id) is not None:
        return
    with suppress(CffsError):
        await account.find_recording(recording_id, patience_seconds=LOOKUP_PATIENCE_SECONDS)


class ProgressChecks:
    """Asks for the states of recordings in progress, each at most once a second."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._checked: TTLCache[int, bool] = TTLCache(_MOST, LOOK_SECONDS, timer=trio.current_time)

    async def check(self, node: Node, content: Content) -> bool:
        """Have v2 asked for the state of a file that is in progress; False where nothing was asked.

        An answer that does not come, or that denies the recording, changes nothing. A checkpoint where it asks.
        """
        if not isinstance(node, OfRecording) or not (is_being_made(content) or _describes_unfinished(content)):
            return False
        rows = [row for row in unfinished_recordings(self._context, node) if row.id not in self._checked]
        for row in rows:
            self._checked[row.id] = True
            try:
                await self._ask(row)
            except CffsError:
                continue
        return bool(rows)

    async def _ask(self, row: RecordingRow) -> None:
        account = self._context.account
        try:
            await account.find_recording(row.id, patience_seconds=LOOKUP_PATIENCE_SECONDS)
        except OperationNotOffered:
            await account.find_recording_by_name(row.call_id, row.name, patience_seconds=LOOKUP_PATIENCE_SECONDS)


def _describes_unfinished(content: Content) -> bool:
    return isinstance(content, Document) and content.volatile
