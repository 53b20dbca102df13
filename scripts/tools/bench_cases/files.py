"""The sets of files that are served: as plain folders and as accounts of the API.

It owns sizes, contents and the JSON pages. It must not know nginx.
"""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cffs.standin.account import Account
from cffs.standin.audio import Mp3Content
from cffs.standin.call_filter import CallFilter

MIB = 1024 * 1024
PAGE = 1000
#: When files were last modified: a recording that was made today may still be growing, so its state would be asked.
MODIFIED_SECONDS = 1_700_000_000


@dataclass(frozen=True, slots=True)
class FileSet:
    """A number of recordings of a size between two; with `audio`, bytes that a decoder accepts."""

    count: int
    least_nbytes: int
    most_nbytes: int
    audio: bool = False

    @property
    def range_nbytes(self) -> tuple[int, int]:
        """The least and the most."""
        return self.least_nbytes, self.most_nbytes


#: The sets: one big file for streams and random reads; one that even a slow program reads in time; a recording of some
#: minutes, read here and there; files whose beginning and end are looked at; a folder to copy and to decode; and a
#: listing whose bytes are never read.
SETS = {
    "big": FileSet(1, 256 * MIB, 256 * MIB),
    "short": FileSet(1, 16 * MIB, 16 * MIB),
    "recording": FileSet(1, 5_000_000, 5_000_000),
    "probed": FileSet(24, 4 * MIB, 4 * MIB),
    "small": FileSet(200, 100_000, 1_000_000, audio=True),
    "many": FileSet(10_000, 0, 0),
}


def make(folder: Path) -> None:
    """Fill `folder` with `plain/SET/ID.mp3`, `nested/SET/CAMPAIGN/CALL/NAME.mp3` and `api/SET/`."""
    dice = random.Random(6)
    for name, file_set in SETS.items():
        account = Account(seed=6, calls=file_set.count, campaigns=1, uncampaigned_every=0, media=0, dynamic=0)
        plain, api = folder / "plain" / name, folder / "api" / name
        plain.mkdir(parents=True)
        api.mkdir(parents=True)
        [campaign] = account.broadcast_rows()
        for offset in range(0, file_set.count, PAGE):
            rows, total = account.call_page(CallFilter(), offset=offset, limit=PAGE)
            for recording in _recordings(rows):
                del recording["mp3Url"]
                if file_set.most_nbytes:
                    path, nbytes = plain / f"{recording['id']}.mp3", dice.randint(*file_set.range_nbytes)
                    recording["lengthInBytes"] = _write(path, nbytes, file_set.audio)
                    nested = folder / "nested" / name / str(campaign["id"]) / str(recording["callId"])
                    nested.mkdir(parents=True, exist_ok=True)
                    os.link(path, nested / f"{recording['name']}.mp3")
            if file_set.most_nbytes:
                _tell_each(api, rows)
            page = json.dumps({"items": rows, "limit": PAGE, "offset": offset, "totalCount": total})
            for filtered_by in ("", str(campaign["id"])):
                (api / f"calls-{filtered_by}-{offset}.json").write_text(page)
        nothing = {"items": [], "limit": PAGE, "offset": 0, "totalCount": 0}
        (api / "nothing.json").write_text(json.dumps(nothing))
        (api / "broadcasts.json").write_text(json.dumps({**nothing, "items": [campaign], "totalCount": 1}))
        (api / "campaign.json").write_text(json.dumps(campaign))
        (api / "account.json").write_text(json.dumps({"id": 6, "email": "bench@example.com", "name": "bench"}))


def warm(folder: Path) -> None:
    """Read everything once, so that no program pays for the server's disk."""
    for path in (folder / "plain").rglob("*.mp3"):
        with path.open("rb", buffering=0) as file:
            while file.read(8 * MIB):
                pass


def _tell_each(api: Path, rows: list[dict]) -> None:
    """The answers about a call or a recording that is not listed."""
    for kind in ("calls", "call-recordings", "recordings"):
        (api / kind).mkdir(exist_ok=True)
    for row in rows:
        (api / "calls" / f"{row['id']}.json").write_text(json.dumps(row))
        recordings = list(_recordings([row]))
        (api / "call-recordings" / f"{row['id']}.json").write_text(json.dumps({"items": recordings}))
        for recording in recordings:
            (api / "recordings" / f"{recording['id']}.json").write_text(json.dumps(recording))


def _recordings(rows: list[dict]) -> Iterator[dict]:
    for row in rows:
        for record in row["records"]:
            yield from record["recordings"]


def _write(path: Path, nbytes: int, audio: bool) -> int:
    if audio:
        path.write_bytes(Mp3Content(seed=path.name, total_nbytes=nbytes).read(0, nbytes))
    else:
        with path.open("wb") as file:
            file.write(b"ID3")
            while (left := nbytes - file.tell()) > 0:
                file.write(os.urandom(min(left, MIB)))
    os.utime(path, (MODIFIED_SECONDS, MODIFIED_SECONDS))
    return path.stat().st_size
