"""Helpers of tests with a writable mount: files of true types, and witnesses.

It must not know what a test asserts.
"""

import os
import random
import struct
from pathlib import Path

from cffs.standin.request_log import RequestRecord
from cffs.standin.thread import StandinThread


def wav(seed: int, *, nbytes: int = 100_000) -> bytes:
    """A true WAV file, another one for each seed."""
    data = random.Random(seed).randbytes(nbytes)
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16_000, 2, 16) + b"data" + struct.pack("<I", nbytes)
    return b"RIFF" + struct.pack("<I", len(head) + nbytes) + head + data


def posts(standin: StandinThread) -> list[RequestRecord]:
    """The uploads that were requested, whatever became of them."""
    return [record for record in standin.requests if record.kind == "createMedia"]


def stored(standin: StandinThread) -> dict[int, tuple[str, bytes]]:
    """Every file that the service has: id to name and bytes."""
    library = standin.account.media
    found = {}
    for media_id in library.media_ids():
        row, media = library.media_row(media_id, root_url=""), library.media_object(media_id)
        assert row is not None
        assert media is not None
        found[media_id] = str(row["name"]), media.read()
    return found


def spooled(home: Path) -> list[Path]:
    """The files in the spool."""
    # os.walk, because a folder may go while it is looked at: glob raises then
    walked = [Path(folder) / name for folder, _folders, names in os.walk(home / "cache") for name in names]
    return [path for path in walked if "spool" in path.parent.parts and path.is_file()]
