"""recordings/{id}@{start}-{end}.wav: a part of a recording's WAV, by lookup.

It must not know how it is cut (`reader/moments`). The namespace calls it.
"""

from fractions import Fraction

from cffs.core.errors import NotInTree, RemoteObjectMissing
from cffs.core.source import wav_key
from cffs.core.values import RecordingState
from cffs.reader.moments import moment_source
from cffs.tree.behaviour import Parts
from cffs.tree.context import Context
from cffs.tree.living import ask_state
from cffs.tree.nodes import Kind, Node, Remote


async def resolve(context: Context, _parent: Node, parts: Parts) -> Node:
    """A moment that the recording has, which its head tells; where it has nothing of it, the moment is missing."""
    if context.account.v1 is None:
        raise NotInTree("WAVs are v1's")
    if Fraction(parts["start"]) >= Fraction(parts["end"]):
        raise RemoteObjectMissing("a moment that ends before it begins")
    await ask_state(context, int(parts["id"]))
    row = context.catalog.recording(int(parts["id"]))
    if row is not None and row.state is RecordingState.RECORDING:
        raise RemoteObjectMissing("the recording is still being made")
    fact = context.catalog.fact(wav_key(int(parts["id"])))
    version = fact.version if fact is not None else 0
    node = Node(Kind.MOMENT, (int(parts["id"]), _spelt(parts["start"]), _spelt(parts["end"]), version))
    await context.require_remote(content(context, node))
    return node


def _spelt(seconds: str) -> str:
    """The one spelling of a time, without zeros that say nothing."""
    whole, _dot, part = seconds.partition(".")
    part = part.rstrip("0")
    return f"{int(whole)}.{part}" if part else str(int(whole))


def content(context: Context, node: Node) -> Remote:
    """An object of its own for each version of the recording, as old as the recording."""
    file_id, start, stop, version = int(node.args[0]), str(node.args[1]), str(node.args[2]), int(node.args[3])
    row = context.catalog.recording(file_id)
    return Remote(
        key=f"moment/{file_id}@{start}-{stop}.wav" + (f"#{version}" if version else ""),
        sources=(moment_source(file_id, start, stop),),
        created_ms=row.created_ms if row is not None else None,
    )
