"""Under which key the bytes of a file are cached, and what was learned of them is known. Pure.

It must not know rows: a file's key is a matter of its ids alone. The modules of the tree that fill files use the same
spelling; `tree/inodes` asks it which version of its object a node shows.
"""

from collections.abc import Callable

from cffs.core.names import encode_name
from cffs.tree.nodes import Kind, Node

_KEYS: dict[Kind, Callable[..., str]] = {
    Kind.MP3: "recording/{}.mp3".format,
    Kind.WAV: "recording/{}.wav".format,
    Kind.MEDIA_FILE: "media/{}.{}".format,
    Kind.MEDIA_RAW: "media/{}/file".format,
    Kind.MEDIA_PUBLIC_FILE: "media/public/{}.{}".format,
    Kind.DYNAMIC_FILE: lambda *parts: f"dynamic/{'/'.join(parts[:4])}/{encode_name(parts[4])}",
}
#: The kinds of files that have one. (A moment of a recording is another file where the recording is another one.)
WITH_KEYS = frozenset(_KEYS)


def object_key(node: Node) -> str | None:
    """The key of the node's object; None where the node has none, or its version is part of what tells it apart."""
    make = _KEYS.get(node.kind)
    return None if make is None else make(*node.args)
