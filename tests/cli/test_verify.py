"""`cffs verify` of hostile folders: any names, kinds of files and manifests."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.helpers import cffs

#: A name of which nothing is read.
HOME = Path("/")
GOOD = b"bytes of a recording"
DIGEST = hashlib.sha256(GOOD).hexdigest().encode()
#: Names that lines, JSON, terminals or locales have trouble with.
NAMES = (
    b"plain.mp3",
    "a\u2028b\u0085c.mp3".encode(),
    b"\xff\xfe.mp3",
    b"back\\slash.mp3",
    b"line\nbreak\r.mp3",
    b"\x1b[31mred\x7f.mp3",
    b"  blanks  ",
    b"#hash",
    b"7/below.mp3",
    b"x" * 255,
)


def line_of(name: bytes, digest: bytes = DIGEST) -> bytes:
    """The name as sha256sum writes it."""
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != name else b"") + digest + b"  " + escaped + b"\n"


def verified(path: Path) -> tuple[int, dict[str, list[bytes]], str]:
    """The exit status, every verdict, and the lines of stderr."""
    done = cffs(HOME, "verify", "--json", path)
    told = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, {
        verdict: [name.encode("utf-8", "surrogateescape") for name in names] for verdict, names in told.items() if names
    }, done.stderr  # fmt: skip


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """A folder with one good file of each name."""
    folder = tmp_path / "received"
    (folder / "7").mkdir(parents=True)
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(GOOD)
    return folder


def test_any_name(received: Path) -> None:
    """Every name that sha256sum can write is found again, in the plain form and as JSON, and shown as one line."""
    (received / "MANIFEST.sha256").write_bytes(b"".join(map(line_of, NAMES)))
    assert verified(received) == (0, {"good": list(NAMES)}, "")
    subprocess.run(["sha256sum", "-c", "--status", "--strict", "MANIFEST.sha256"], cwd=received, check=True)
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(received) + b"/" + name)).write_bytes(b"other")
    done = cffs(HOME, "verify", received / "MANIFEST.sha256")
    assert done.returncode == 1
    assert len(done.stdout.split("\n")) == len(NAMES) + 2
    assert not any(character in done.stdout for character in "\x1b\x7f\u2028\u0085\r")


def test_what_is_no_regular_file_in_the_folder(received: Path) -> None:
    """A FIFO, a device, a link, a folder, a file beyond a link or outside the folder is never opened; a name that no
    file can have is absent; the others are compared all the same."""
    os.mkfifo(received / "fifo")
    (received / "zero").symlink_to("/dev/zero")
    (received / "link").symlink_to("plain.mp3")
    (received / "beyond").symlink_to(received / "7")
    (received.parent / "outside").write_bytes(GOOD)
    unreadable = (
        b"fifo", b"zero", b"link", b"beyond/below.mp3", b"7", b"../outside", b"7/../plain.mp3", b"/etc/passwd", b"./7",
        b"plain.mp3/x", b"7/", b"7/.", b"..", b"x" * 4000,
    )  # fmt: skip
    if os.geteuid() == 0:
        os.mknod(received / "device", 0o020600, os.makedev(1, 5))
        unreadable += (b"device",)
    absent = (b"a\0b", b"none", b"7/none", b"none/none")
    good = (b"plain.mp3", b"./plain.mp3", b"7//below.mp3", b"./././7/./below.mp3")
    names = (*unreadable, *absent, *good)
    (received / "MANIFEST.sha256").write_bytes(b"".join(map(line_of, names)) + b"# missing: away.mp3\n# a comment\n\n")
    expected = {
        "good": list(good),
        "absent": list(absent),
        "unreadable": list(unreadable),
        "not compared": [b"away.mp3"],
    }
    assert verified(received) == (1, expected, "")
    done = cffs(HOME, "verify", received)
    assert "unreadable: fifo (not a regular file)" in done.stdout
    assert done.stdout.endswith("\n4 files as they should be\n")


@pytest.mark.parametrize("kind", ["fifo", "device", "zero", "folder", "none", "text", "long", "binary"])
def test_odd_manifests(received: Path, kind: str) -> None:
    """A manifest that is no regular file, or no manifest, is one line and exit 1."""
    manifest = received / "MANIFEST.sha256"
    if kind == "fifo":
        os.mkfifo(manifest)
    elif kind == "zero":
        manifest.symlink_to("/dev/zero")
    elif kind == "device":
        manifest.symlink_to("/dev/full")
    elif kind == "folder":
        manifest.mkdir()
    elif kind == "text":
        manifest.write_text("dear reader,\n")
    elif kind == "long":
        with manifest.open("wb") as file:
            file.truncate(2**24)
    elif kind == "binary":
        manifest.write_bytes(os.urandom(1000).replace(b"\n", b"") + b"\n")
    for path in (received, manifest):
        status, told, said = verified(path)
        assert (status, told) == (1, {})
        assert said.count("\n") == 1
        assert said.startswith(("cffs: cannot read", "cffs: /")) or kind == "folder"


def test_a_folder_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """A path that is too long, or leads through a file, is one line."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / ("x" * 300), tmp_path / "file/below", tmp_path / "none", tmp_path / "none/MANIFEST.sha256"):
        done = cffs(HOME, "verify", path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("cffs: cannot read ")
        assert done.stderr.count("\n") == 1
