"""Unlisted recordings: their bytes prove them, v2 says if they are in progress.

It owns in which order the two are asked for, and what counts where they contradict each other. It must not know how a
name is spelt or found in a listing.

The first request is for the file's first piece, which serves the program that opens it as well. v2's metadata are asked
for where its head is late or does not settle the state, and where the bytes are denied: what was last modified over a
day ago is not in progress any more, and without v2 nothing else could say. (A settled file is described in the
background where the listing of recordings has failed, which alone would show it.) Until the state is known, the bytes
serve their readers and are kept nowhere. Where body and metadata contradict each other:

* v2 does not know the recording, but its bytes are there: they are the file, and kept (v1 may number its files
  otherwise).
* v2 knows it, but its bytes are not there: it is missing, unless it is in progress and nothing of it was given out yet.
* The body has another size than v2 gave: the body is right; but where it is empty and v2 gave a size, it is an error.
* v2 says that it is in progress, whatever came as its body: what came is dropped, and asked for again each second.
* v2 calls it broken (ERROR): the bytes are what there is; the MP3 is refused from the next open on.
* v2 says that it ended a moment ago: the body may have been asked for before that, and is dropped as well. Those that
  have it open are given the rest by new requests.
* v2 does not answer: nothing is kept, and the next open asks again.
* The body does not come, and v2 knows the recording: it exists, and opening it waits.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import trio

from cffs.catalog.rows import RecordingRow
from cffs.catalog.single_flight import ELSEWHERE
from cffs.core.errors import CffsError, ObjectRefused, OperationNotOffered, RemoteObjectMissing
from cffs.core.source import Source
from cffs.core.units import NS_PER_MS
from cffs.core.values import RecordingState
from cffs.reader.first_piece import FirstLook
from cffs.reader.object_info import require_empty
from cffs.tree.contents import Remote
from cffs.tree.context import Context

#: No call lasts so long: what was last modified before that is whole.
OLD_MS = 86_400_000
#: A body whose head has not come after this time may be late, or hang: v2 is asked at the same time.
LATE_SECONDS = 1.0
#: A recording that ended so shortly before its bytes were asked for may not have been whole at that moment, as far as
#: the clocks of the service's machines agree.
_MARGIN_MS = 10_000
_MS_A_SECOND = 1000


async def require_recording(context: Context, remote: Remote, recording_id: int) -> None:
    """Return once the recording's file is known to exist, whether or not its state is known.

    Raises RemoteObjectMissing where it does not exist, and what stops an answer. A checkpoint where it asks; cancelled,
    the request goes on.
    """
    if context.is_known(remote):
        return
    asks_state = not is_state_known(context, recording_id)

    async def ask() -> None:
        await context.account.ask_anything(
            ("object", remote.key),
            remote.sources[0].api,
            partial(_look, context, remote, recording_id, asks_state=asks_state),
            patience_seconds=None,
        )

    if not asks_state:
        await ask()
        return
    try:
        with trio.move_on_after(LATE_SECONDS) as patience:
            await ask()
        if patience.cancelled_caught:
            await _whichever_comes_first(context, recording_id, ask)
    except (RemoteObjectMissing, OperationNotOffered):
        row = await _describe(context, recording_id)
        if row is None or row.state is not RecordingState.RECORDING:
            raise


async def _look(context: Context, remote: Remote, recording_id: int, *, asks_state: bool) -> None:
    """Ask for the first piece; what its head does not settle, v2 is asked for next."""
    if context.is_known(remote):
        return  # a neighbour's request brought the answer before this one's turn came
    look = await context.first_pieces.look(remote.key, remote.sources, is_settled=not asks_state)
    if not asks_state:
        return
    if _is_old(look):
        context.first_pieces.settle(remote.key)
        if context.listings.has_failed("recordings"):  # nothing else would show that it is there
            context.account.begin(("recording-row", recording_id), None, partial(_describe, context, recording_id))
        return
    if look.nbytes == 0:  # only v2 can say whether it is empty, or not given out yet
        await _settle(context, remote.key, recording_id, look)
        if not any(row.state is RecordingState.RECORDING for row in _rows_of(context, recording_id)):
            require_empty(remote.key, context.catalog.emptiness(remote.key), is_stated=True)
        return
    settling = partial(_settle, context, remote.key, recording_id, look)
    if not context.account.begin(("state", remote.key), None, settling):
        context.first_pieces.give_up(remote.key)


async def wait_for_state(context: Context, remote: Remote) -> None:
    """Return once it is known whether the recording is in progress, or that is not answered in time. A checkpoint."""

    async def nothing() -> None:
        """The request is under way, or was answered meanwhile."""

    with trio.move_on_after(LATE_SECONDS):
        await context.account.ask_anything(("state", remote.key), None, nothing, patience_seconds=None)


def _is_old(look: FirstLook) -> bool:
    if look.last_modified_ns is None or look.answered_ms is None:
        return False
    return look.answered_ms - look.last_modified_ns // NS_PER_MS > OLD_MS


async def _settle(context: Context, key: str, recording_id: int, look: FirstLook) -> None:
    try:
        await _ask_state(context, recording_id)
    except (*ELSEWHERE, ObjectRefused):
        pass  # nothing can say more
    except CffsError:
        context.first_pieces.give_up(key)
        return
    if all(was_whole(row, look) for row in _rows_of(context, recording_id)):
        context.first_pieces.settle(key)
    else:
        context.forget_bytes(key)


async def _ask_state(context: Context, recording_id: int) -> None:
    """Have v2 describe the recording: with its call, where that is being asked for, or where v1 has listed the file for
    it and v2 has not listed the call's recordings; else by its id. Raises what stops an answer."""
    file = context.catalog.listed_file(recording_id)
    if file is not None and not _knows_recordings_of(context, file.call_id):
        with suppress(*ELSEWHERE):
            await context.account.find_call(file.call_id, patience_seconds=None)
        if _knows_recordings_of(context, file.call_id):
            return
    if not _is_described(context, recording_id):
        await context.account.find_recording(recording_id, patience_seconds=None)


def _rows_of(context: Context, recording_id: int) -> list[RecordingRow]:
    """The recordings that decide whether a file is whole: the one of its id; where v1 numbers its files otherwise,
    those of its call."""
    row = context.catalog.recording(recording_id)
    if row is not None:
        return [row]
    file = context.catalog.listed_file(recording_id)
    return [] if file is None else context.catalog.recordings_of_call(file.call_id)


def _knows_recordings_of(context: Context, call_id: int) -> bool:
    call = context.catalog.call(call_id)
    return call is not None and call.recordings_known


def is_state_known(context: Context, recording_id: int) -> bool:
    """True where it is known whether the recording of a file is in progress, as far as anything can say."""
    if not context.can_tell_states or _is_described(context, recording_id):
        return True
    file = context.catalog.listed_file(recording_id)
    return file is not None and _knows_recordings_of(context, file.call_id)


def _is_described(context: Context, recording_id: int) -> bool:
    """True where v2 has described the recording; one that was imported by its id may have to be asked for first."""
    row = context.catalog.recording(recording_id)
    return row is not None and not (row.is_undescribed and context.account.may_describe("recording", recording_id))


def was_whole(row: RecordingRow, look: FirstLook) -> bool:
    """True where the recording was not in progress any more when its bytes were asked for, as far as anything says."""
    if row.state is RecordingState.RECORDING:
        return False
    ended_ms = None
    if look.last_modified_ns is not None:
        ended_ms = look.last_modified_ns // NS_PER_MS
    elif row.created_ms is not None and row.seconds is not None:
        ended_ms = row.created_ms + row.seconds * _MS_A_SECOND
    return ended_ms is None or look.answered_ms is None or ended_ms + _MARGIN_MS <= look.answered_ms


async def require_named(
    context: Context,
    source: Source,
    ask_row: Callable[[], Awaitable[RecordingRow]],
    content: Callable[[RecordingRow], Remote],
) -> RecordingRow:
    """The recording whose MP3 v2 gives by the name `source`. Its bytes are asked for while `ask_row` asks which
    recording it is; from then on they are that recording's. Raises what `ask_row` raises."""
    key, named = source.key, _Named()
    context.account.begin(("object", key), source.api, partial(_look_at_named, context, key, source, named))
    try:
        row = await ask_row()
    except CffsError:
        named.is_denied = True
        context.first_pieces.give_up(key)
        raise
    remote = content(row)
    named.row, named.key = row, remote.key
    context.first_pieces.rename(key, remote.key, remote.sources)
    named.settle(context)
    return row


class _Named:
    """What is known of a recording that is asked for by name: its bytes and its row, in either order."""

    row: RecordingRow | None = None
    #: The object's key, once there is a row.
    key = ""
    look: FirstLook | None = None
    is_denied = False

    def settle(self, context: Context) -> None:
        """Once both have come: keep the bytes, or drop them where they were not all."""
        if self.row is None or self.look is None:
            return
        if was_whole(self.row, self.look):
            context.first_pieces.settle(self.key)
        else:
            context.forget_bytes(self.key)


async def _look_at_named(context: Context, key: str, source: Source, named: _Named) -> None:
    with suppress(CffsError):  # an open asks again, in every way there is
        named.look = await context.first_pieces.look(key, (source,), is_settled=False)
        if named.is_denied:
            context.first_pieces.give_up(key)
        elif named.row is not None:
            named.settle(context)


async def _whichever_comes_first(context: Context, recording_id: int, ask: Callable[[], Awaitable[None]]) -> None:
    """Return once the body's head has come, or v2 knows the recording. Raises what the request for the body raises."""
    problem: CffsError | None = None
    async with trio.open_nursery() as nursery:

        async def body() -> None:
            nonlocal problem
            try:
                await ask()
            except CffsError as failure:  # not through the nursery, which would wrap it
                problem = failure
            nursery.cancel_scope.cancel()

        async def metadata() -> None:
            if await _describe(context, recording_id) is not None:
                nursery.cancel_scope.cancel()

        nursery.start_soon(body)
        nursery.start_soon(metadata)
    if problem is not None:
        raise problem


async def _describe(context: Context, recording_id: int) -> RecordingRow | None:
    """The row of a recording that v2 was asked to describe; None where it does not."""
    try:
        await _ask_state(context, recording_id)
    except CffsError:
        return None
    return context.catalog.recording(recording_id)
