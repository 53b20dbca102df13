"""Where recordings lie, found by their content."""

import os
from pathlib import Path

from tests.mount.mounting import account_variables, mounted, run
from tests.mount.test_reading import true_bytes

#: Long enough to be of one recording alone; anywhere in a file of ours it proves that its audio is there.
_PIECE_NBYTES = 48
_STRIDE_NBYTES = 4096


def pieces(name: str, recordings: dict[str, bytes]) -> list[bytes]:
    """Some pieces of a recording, from all over it, that are in no other."""
    audio, others = recordings[name], [other for key, other in recordings.items() if key != name]
    found = [audio[at : at + _PIECE_NBYTES] for at in range(_PIECE_NBYTES, len(audio), _STRIDE_NBYTES)]
    return [piece for piece in found if len(set(piece)) > 8 and not any(piece in other for other in others)]


def kept(home: Path, recordings: dict[str, bytes]) -> set[str]:
    """The recordings of which any piece lies in any file of the home."""
    found, wanted = set(), {name: pieces(name, recordings) for name in recordings}
    assert all(wanted.values())
    for folder in ("cache", "state", "config"):
        for parent, _folders, files in os.walk(home / folder):
            for name in files:
                data = b"" if name.endswith(".sock") else Path(parent, name).read_bytes()
                found |= {name for name, known in wanted.items() if any(piece in data for piece in known)}
    return found


def read_some(mount: Path, count: int, standin: object) -> dict[str, bytes]:
    """The first recordings, MP3s and WAVs, as an application reads them."""
    names = sorted(name for name in os.listdir(mount / "recordings") if name.endswith(".mp3"))[:count]
    files = [mount / "recordings" / name for stem in names for name in (stem, f"{Path(stem).stem}.wav")]
    audio = {file.name: file.read_bytes() for file in files}
    assert all(audio[file.name] == true_bytes(standin, mount, file) for file in files)
    return audio


def test_a_size_of_0_keeps_no_audio(said, home, standin):
    """With --cache-size 0 no piece is on disk, neither while it is mounted nor afterwards, and what an earlier mount
    cached is removed at the start."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        audio = read_some(mount.path, 3, standin)
    assert kept(home, audio) == set(audio)  # so that the search can find
    with mounted(said, home, variables, "--cache-size", "0") as mount:
        assert kept(home, audio) == set()
        assert read_some(mount.path, 3, standin) == audio
        assert kept(home, audio) == set()
    assert kept(home, audio) == set()


def test_clear_and_prune_remove_the_bytes(said, home, standin):
    """`cache prune` and `cache clear` leave no piece of what they removed in any file, with and without a mount; what
    is pinned stays until it is asked for as well."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        audio = read_some(mount.path, 3, standin)
        pinned = next(iter(audio))
        assert run(said, home, "prefetch", "--pin", mount.path / "recordings" / pinned, **variables).returncode == 0
        assert kept(home, audio) == set(audio)
        assert run(said, home, "cache", "prune", "--to", "0", **variables).returncode == 0
        assert kept(home, audio) == {pinned}
    assert run(said, home, "cache", "clear", **variables).returncode == 0
    assert kept(home, audio) == {pinned}
    assert run(said, home, "cache", "clear", "--pinned", **variables).returncode == 0
    assert kept(home, audio) == set()
