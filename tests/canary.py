"""The canary: made-up credentials, and the search for them in every channel.

It must not know what a test does. `tests/conftest` searches the whole session; `Evidence` gathers what a running mount
shows. Every secret of a test begins with `CANARY`, so that one pattern finds them all, in any encoding.
"""

import base64
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from cffs.daemon.control_wire import encode
from cffs.standin.answers import Credentials
from cffs.standin.request_log import RequestRecord

MARK = "CANARY"
#: Unmistakable, with characters that each encoding spells differently.
CANARIES = Credentials(
    apikey="CANARYKEYv1+/=&%",
    login="CANARYLOGINv2",
    password="CANARYPASSWORDv2+/:@ é",
    account_login="CANARYOWNERv2@example.com",
    account_password="CANARYOWNERPASSWORD+/é",
)
#: A test's folder of the service's own side, where a key may lie.
RIGHT_ORIGIN = "right-origin"
#: Where credentials may lie: the config file, and the files that a `…_file` names.
CREDENTIALS_FILES = ("config.toml", "*.secret")
#: The output of the session's commands, searched at its end.
SAID: list[str] = []
_ANSWER_SECONDS = 5.0


def _alphabets(mark: str) -> Iterator[str]:
    """The mark as it is, in percent-encoding, and inside Base64: three spellings, by what stands before it."""
    raw = mark.encode()
    yield re.escape(mark)
    yield "".join(f"%(?i:{byte:02x})" for byte in raw)
    yield raw.hex()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw + b"\0\0\0").decode()
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        yield text[first:last]


_PATTERN = re.compile("|".join(_alphabets(MARK)).encode())


def shows(data: str | bytes) -> str | None:
    """The surroundings of a canary in the text, in whatever form; None where there is none."""
    found = _PATTERN.search(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data)
    return None if found is None else repr(found.string[max(0, found.start() - 80) : found.end() + 40])


def in_folder(folder: Path) -> list[str]:
    """Where a canary shows below a folder: in a name, a link's target, an attribute or a file's content.

    The credentials' own files and the right origin's folders are skipped, names of the folder itself too.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != RIGHT_ORIGIN]
        for name in (*folders, *files):
            path = Path(parent, name)
            # pytest names folders after parameters, and links to the latest
            is_ours = Path(parent) != folder
            data = os.fsencode(name) if is_ours else b""
            if path.is_symlink() and is_ours:
                data += b"\n" + os.fsencode(os.readlink(path))
            elif path.is_file() and not any(map(path.match, CREDENTIALS_FILES)):
                data += b"\n" + path.read_bytes()
            if not path.is_symlink():
                data += b"\n".join(_attributes(path))
            if (shown := shows(data)) is not None:
                found.append(f"{path}: {shown}")
    return found


def _attributes(path: Path) -> Iterator[bytes]:
    try:
        for name in os.listxattr(path):
            yield os.fsencode(name) + b"=" + os.getxattr(path, name)
    except OSError:
        return  # none here, or none to be read


class Evidence:
    """What was gathered, by channel."""

    def __init__(self) -> None:
        self.pieces: dict[str, list[bytes]] = {}

    def add(self, channel: str, *pieces: str | bytes) -> None:
        """Text or bytes of a channel: stdout, stderr, a log, a report."""
        for piece in pieces:
            data = piece.encode("utf-8", "surrogateescape") if isinstance(piece, str) else piece
            self.pieces.setdefault(channel, []).append(data)

    def add_files(self, channel: str, folder: Path) -> None:
        """Add every name, link, attribute and content below a folder of ours, without the holes of sparse files.

        The credentials' own files are skipped.
        """
        self.pieces.setdefault(channel, [])
        self.add(channel, str(folder), *in_folder(folder))

    def add_process(self, pid: int) -> None:
        """Add what every user may see of a process."""
        self.add("process", Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/comm").read_bytes())

    def add_mount_table(self, table: Path) -> None:
        """Add what every user may see of the mounts."""
        self.add("mount table", table.read_bytes())

    def add_tree(self, mountpoint: Path) -> None:
        """Add all names of a mount, their attributes, and the mount's own files."""
        for parent, folders, files in os.walk(mountpoint):
            for name in (*folders, *files):
                self.add("names", os.fsencode(name))
                self.add("xattrs", b"", *_attributes(Path(parent, name)))
        self.add_own_files(mountpoint / ".cffs")

    def add_own_files(self, folder: Path) -> None:
        """Every file of it."""
        for name in os.listdir(folder):
            self.add("own files", os.fsencode(name), (folder / name).read_bytes())

    def add_control(self, path: Path, commands: Iterable[str]) -> None:
        """The control socket's answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(str(path))
            with connection.makefile("rb") as answers:
                for command in commands:
                    connection.sendall(encode({"command": command, "arguments": {}}))
                    while "progress" in json.loads(line := answers.readline()):
                        self.add("control socket", line)
                    self.add("control socket", line)

    def add_requests(self, records: Iterable[RequestRecord]) -> None:
        """Add what another host than ours received."""
        for record in records:
            self.add("another host", repr((record.method, record.path, dict(record.query), dict(record.headers))))

    def found(self) -> list[str]:
        """Where a canary shows."""
        return [
            f"{channel}: {shown}"
            for channel, pieces in self.pieces.items()
            for piece in pieces
            if (shown := shows(piece)) is not None
        ]
