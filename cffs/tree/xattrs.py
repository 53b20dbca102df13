"""Extended attributes of files: what is known of a recording or media file.

It owns their names and values (`cffs/docs/semantics.md#extended-attributes`). It must not know the kernel. No attribute
costs a request.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial

from cffs.catalog.views import ViewRow
from cffs.core.listed_names import is_dated
from cffs.core.media_types import MIME_TYPES, extension_of
from cffs.core.names import encode_name
from cffs.core.source import Source, v1_recording
from cffs.tree.contents import Remote
from cffs.tree.context import Context
from cffs.tree.namespace import Description, Namespace
from cffs.tree.nodes import (
    CallJsonNode,
    ClipNode,
    DynamicFileNode,
    Kind,
    MediaFileNode,
    MediaJsonNode,
    MediaPublicFileNode,
    MediaRawNode,
    Mp3Node,
    Node,
    RecordingJsonNode,
    WavNode,
)

#: The types by which file managers and players know these extensions (shared-mime-info).
_MIME_TYPES = {
    **MIME_TYPES,
    "mp3": "audio/mpeg",
    "json": "application/json",
    "m3u8": "application/vnd.apple.mpegurl",
    "sha256": "text/plain",
}
_EXTENSIONS = {
    Kind.MP3: "mp3",
    Kind.WAV: "wav",
    Kind.MOMENT: "wav",
    Kind.CAMPAIGN_JSON: "json",
    Kind.CALL_JSON: "json",
    Kind.RECORDING_JSON: "json",
    Kind.MEDIA_JSON: "json",
    Kind.PLAYLIST: "m3u8",
    Kind.MANIFEST: "sha256",
}
#: (key) -> how many bytes of the object are cached.
Held = Callable[[str], int]
UrlOf = Callable[[Source], str]


def attributes_teller(
    context: Context, namespace: Namespace, held: Held, url_of: UrlOf
) -> Callable[[Node], dict[str, str]]:
    """`attributes_of`, bound to one mount."""
    return partial(attributes_of, context, namespace, held=held, url_of=url_of)


def attributes_of(context: Context, namespace: Namespace, node: Node, *, held: Held, url_of: UrlOf) -> dict[str, str]:
    """Every attribute of a file, by its whole name; what is not known is absent.

    Numbers and labels are spelt as in file names. Raises what the namespace's `content` raises.
    """
    return {f"user.{name}": value for name, value in _told(context, namespace, node, held, url_of) if value}


def _told(
    context: Context, namespace: Namespace, node: Node, held: Held, url_of: UrlOf
) -> Iterator[tuple[str, str | None]]:
    content = namespace.content(node)
    yield "mime_type", _mime_type(context, node)
    if isinstance(content, Remote):
        yield "xdg.origin.url", url_of(_source(context, node, content))
    if isinstance(node, MediaFileNode | MediaRawNode | MediaJsonNode):
        yield "cffs.id", str(node.media_id)
    if (ident := recording_of(node)) is not None:
        yield "cffs.id", str(ident)
        row, file = context.catalog.views.recording(ident), context.catalog.listed_file(ident)
        if row is not None:
            yield from _of_recording(row)
        elif file is not None:
            yield "cffs.call_id", str(file.call_id)
            yield "cffs.campaign_id", str(file.campaign_id or "")
        yield "cffs.labels", _spelt(context.catalog.views.labels(ident))
    if isinstance(node, CallJsonNode):
        yield "cffs.call_id", str(node.call_id)
        yield "cffs.campaign_id", str(node.campaign_id or "")
        yield "cffs.labels", _spelt(context.catalog.views.labels_of_call(node.call_id))
    if isinstance(content, Remote):
        description = namespace.describe_content(content)
        yield "cffs.size", "exact" if description.is_exact else "hint"
        yield "cffs.cached", held_part(held(content.key), description)


def _source(context: Context, node: Node, content: Remote) -> Source:
    if isinstance(node, ClipNode):
        return v1_recording(node.recording_id)
    fact = context.catalog.fact(content.key)
    return next((one for one in content.sources if fact is not None and one.key == fact.source), content.sources[0])


def _mime_type(context: Context, node: Node) -> str | None:
    extension = _EXTENSIONS.get(node.kind)
    if isinstance(node, MediaFileNode | MediaPublicFileNode):
        extension = extension_of(node.extension)
    if isinstance(node, DynamicFileNode):
        extension = extension_of(node.filename.rpartition(".")[2])
    if isinstance(node, MediaRawNode) and (row := context.catalog.media_file(node.media_id)) is not None:
        extension = row.extension
    return _MIME_TYPES.get(extension or "")


def _of_recording(row: ViewRow) -> Iterator[tuple[str, str | None]]:
    recording = row.recording
    yield "cffs.call_id", str(recording.call_id or "")
    yield "cffs.campaign_id", str(recording.campaign_id or "")
    yield "cffs.from", encode_name(row.from_number)
    yield "cffs.to", encode_name(row.to_number)
    if recording.created_ms is not None and is_dated(recording.created_ms):
        yield "cffs.created", datetime.fromtimestamp(recording.created_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    yield "cffs.seconds", None if recording.seconds is None else str(recording.seconds)
    yield "cffs.state", recording.state.value


def recording_of(node: Node) -> int | None:
    """The id of the recording that a file is a form of; None where it is not of one."""
    if isinstance(node, WavNode):
        return node.file_id
    return node.recording_id if isinstance(node, Mp3Node | RecordingJsonNode | ClipNode) else None


def _spelt(labels: Iterable[str]) -> str:
    return ",".join(encode_name(label).replace(",", "%2C") for label in labels)


def held_part(held_nbytes: int, description: Description) -> str:
    """How much of a file is cached: `full`, `partial` or `none`."""
    if not held_nbytes:
        return "full" if description.is_exact and not description.nbytes else "none"
    return "full" if description.is_exact and held_nbytes >= (description.nbytes or 0) else "partial"
