"""Keys of objects: the name of a file's bytes in caches and facts. Pure.

It owns the spelling of keys for inodes and versions; the modules that fill files spell them alike. It must not know
rows: a key is made of a node's ids alone.
"""

from cffs.core.names import encode_name
from cffs.tree.nodes import (
    DynamicFileNode,
    Kind,
    MediaFileNode,
    MediaPublicFileNode,
    MediaRawNode,
    Mp3Node,
    Node,
    WavNode,
)

#: The kinds of files that have a key. (A clip has none: that of another version of the recording is another file.)
WITH_KEYS = frozenset({Kind.MP3, Kind.WAV, Kind.MEDIA_FILE, Kind.MEDIA_RAW, Kind.MEDIA_PUBLIC_FILE, Kind.DYNAMIC_FILE})


def object_key(node: Node) -> str | None:
    """The key of the node's object; None where the node has none, or its version is part of its identity."""
    match node:
        case Mp3Node():
            return f"recording/{node.recording_id}.mp3"
        case WavNode():
            return f"recording/{node.file_id}.wav"
        case MediaFileNode():
            return f"media/{node.media_id}.{node.extension}"
        case MediaRawNode():
            return f"media/{node.media_id}/file"
        case MediaPublicFileNode():
            return f"media/public/{node.key}.{node.extension}"
        case DynamicFileNode():
            return f"dynamic/{node.hash}/{node.year}/{node.month}/{node.campaign}/{encode_name(node.filename)}"
    return None
