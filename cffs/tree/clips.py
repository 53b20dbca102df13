"""recordings/{id}@{start}-{end}.wav: a time range of a recording's WAV, by lookup.

It must not know how the range is cut (`reader/wav_clips`).
"""

from fractions import Fraction
from functools import partial

from cffs.core.errors import NotInTree, RemoteObjectMissing
from cffs.core.source import wav_key
from cffs.core.values import RecordingState
from cffs.reader.wav_clips import clip_source
from cffs.tree.calls_in_progress import ask_state
from cffs.tree.contents import Remote
from cffs.tree.context import Context
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import ClipNode, Node
from cffs.tree.unproven import Question, denied_for_now


def resolve(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """A clip within the recording, which its head shows; where the recording has nothing of the range, the clip is
    missing."""
    if context.account.v1 is None:
        raise NotInTree("WAVs are v1's")
    if Fraction(parts["start"]) >= Fraction(parts["end"]):
        raise RemoteObjectMissing("a clip that ends before it begins")
    recording_id = int(parts["id"])
    fact = context.catalog.fact(wav_key(recording_id))
    version = fact.version if fact is not None else 0
    node = ClipNode(recording_id, _spelt(parts["start"]), _spelt(parts["end"]), version)

    async def ask() -> Node:
        asks_state = partial(ask_state, context, recording_id)
        context.account.begin(("state of moments", recording_id), None, asks_state)
        remote = content(context, node)
        await context.require_remote(remote)
        await asks_state()
        try:
            _require_made(context, recording_id)
        except RemoteObjectMissing:
            # what was learned of a part of the recording must not be taken for the whole
            context.forget_bytes(remote.key)
            context.forget_bytes(wav_key(recording_id))
            raise
        return node

    if context.catalog.recording(recording_id) is None and context.account.v2 is not None:
        return Question(node, ask)
    _require_made(context, recording_id)
    return node if context.is_known(content(context, node)) else Question(node, ask)


def _require_made(context: Context, recording_id: int) -> None:
    row = context.catalog.recording(recording_id)
    if row is not None and row.state is RecordingState.RECORDING:
        raise denied_for_now("the recording is still being made")


def _spelt(seconds: str) -> str:
    """The canonical spelling of a time, without zeros that mean nothing."""
    whole, _dot, part = seconds.partition(".")
    part = part.rstrip("0")
    return f"{int(whole)}.{part}" if part else str(int(whole))


def content(context: Context, node: ClipNode) -> Remote:
    """An object of its own for each version of the recording, as old as the recording."""
    file_id, start, stop, version, _kind = node
    row = context.catalog.recording(file_id)
    return Remote(
        key=f"moment/{file_id}@{start}-{stop}.wav" + (f"#{version}" if version else ""),
        sources=(clip_source(file_id, start, stop),),
        created_ms=row.created_ms if row is not None else None,
    )
