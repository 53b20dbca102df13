"""The control socket without a mount: lines, versions, peers, stale sockets."""

import json
import os
import socket
import stat
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from cffs.core.errors import UsageError
from cffs.daemon.background import open_background
from cffs.daemon.control import Control, open_control
from cffs.daemon.control_wire import MAX_LINE_NBYTES, PROTOCOL, decode, encode, socket_name

MOUNTPOINT = Path("/mnt/x")


async def _echo(arguments, tell):
    await tell({"half": 1})
    return dict(arguments)


async def _refuse(arguments, tell):
    raise UsageError("not\ntoday")


@asynccontextmanager
async def serving(*folders: Path) -> AsyncIterator[Path | None]:
    """A control with two commands, in the first folder that can be used."""
    async with (
        open_background() as background,
        open_control(folders, MOUNTPOINT, Control({"echo": _echo, "refuse": _refuse}), background) as path,
    ):
        yield path


async def conversation(path: Path, sent: bytes) -> list[dict[str, object]]:
    """The answers to these bytes, once our side has sent all of them."""
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(sent)
        await stream.send_eof()
        told = b""
        while piece := await stream.receive_some():
            told += piece
    return [json.loads(line) for line in told.splitlines()]


async def test_progress_then_result(tmp_path):
    """A command's progress lines come before its result, each with the protocol's version."""
    async with serving(tmp_path / "run") as path:
        answers = await conversation(path, encode({"command": "echo", "arguments": {"a": "ä"}}))
    assert answers == [
        {"version": PROTOCOL, "progress": {"half": 1}},
        {"version": PROTOCOL, "ok": True, "result": {"a": "ä"}},
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"nonsense", "not a line of JSON"),
        (b"[" * 100_000, "not a line of JSON"),
        (b'{"version": 1, "command": "echo", "arguments": {"limit": ' + b"9" * 400 + b"}}", "not a line of JSON"),
        (b'{"version": 1, "command": "echo", "arguments": {"limit": 1e999}}', "not a line of JSON"),
        (b'{"version": 1, "command": "echo", "arguments": {"limit": -9223372036854775809}}', "not a line of JSON"),
        (b'{"version": 1, "command": "echo", "arguments": {"limit": [NaN]}}', "not a line of JSON"),
        (b'{"version": ' + b"1" * 5000 + b"}", "not a line of JSON"),
        (b"[]", "not a JSON object"),
        (b'{"version": 99, "command": "echo"}', "speaks version 99"),
        (b'{"version": 1, "command": "none"}', "knows: echo, refuse"),
        (b'{"version": 1, "command": ["echo"]}', "no such command"),
        (b'{"version": 1, "command": "echo", "arguments": 3}', "no such command"),
        (b'{"version": 1, "command": "refuse"}', "not today"),
    ],
)
async def test_nonsense_is_answered_in_one_line(tmp_path, line, says):
    """A line that is no command gets one error line, and the next command on the connection is answered
    nevertheless."""
    async with serving(tmp_path / "run") as path:
        first, *_, last = await conversation(path, line + b"\n" + encode({"command": "echo"}))
    assert first["ok"] is False
    assert says in first["error"]
    assert "\n" not in first["error"]
    assert last["ok"] is True


async def test_an_endless_line_ends_the_conversation(tmp_path):
    """A line without end is not kept: the connection closes, and other clients are served."""
    async with serving(tmp_path / "run") as path:
        async with await trio.open_unix_socket(path) as stream:
            with pytest.raises(trio.BrokenResourceError):
                for _ in range(2 * MAX_LINE_NBYTES // 65_536 + 2):
                    await stream.send_all(b"x" * 65_536)
        assert len(await conversation(path, encode({"command": "echo"}))) == 2


@pytest.mark.parametrize("umask", [0, 0o777])
async def test_socket_is_private_and_goes(tmp_path, umask):
    """The socket is 0600 in a folder of 0700 whatever the umask, and is gone afterwards."""
    before = os.umask(umask)
    try:
        (tmp_path / "run").mkdir(mode=0o700)
        (tmp_path / "run").chmod(0o700)
        async with serving(tmp_path / "run") as path:
            assert stat.S_IMODE(path.stat().st_mode) & ~0o600 == 0
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)
    assert list((tmp_path / "run").iterdir()) == []


async def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path):
    """The socket of a killed daemon is taken over; a socket that a process answers on keeps its name and its
    answers."""
    (tmp_path / "run").mkdir(mode=0o700)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "run" / socket_name(MOUNTPOINT)))
    dead.close()
    async with serving(tmp_path / "run") as first:
        assert first.name == socket_name(MOUNTPOINT)
        async with serving(tmp_path / "run") as second:
            assert second.name != first.name
            assert len(await conversation(second, encode({"command": "echo"}))) == 2
        assert len(await conversation(first, encode({"command": "echo"}))) == 2


async def test_no_folder_is_no_socket(tmp_path, caplog):
    """Where no folder can be used there is no socket, and a line in the log; otherwise the next folder is tried."""
    (tmp_path / "file").write_text("")
    async with serving(tmp_path / "file") as path:
        assert path is None
    assert "no control socket" in caplog.text
    async with serving(tmp_path / "file", tmp_path / "run") as path:
        assert path.parent == tmp_path / "run"


async def test_long_folders(tmp_path):
    """A folder whose path is too long for a socket's address works nevertheless."""
    folder = tmp_path / ("n" * 120) / "run"
    async with serving(folder) as path:
        assert len(str(path)) > 107


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1024, -(2**63), 1.5, -1e-300, 1e18, True])
def test_numbers_come_back(number):
    """Every number that 64 bits hold is passed on as it is."""
    assert decode(encode({"arguments": {"n": number}}))["arguments"] == {"n": number}


def test_lines_come_back():
    """`decode` returns what `encode` was given, with the version."""
    assert decode(encode({"command": "x"})) == {"version": PROTOCOL, "command": "x"}


class _Socket:
    """The kernel's statement about a peer."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def getsockopt(self, level: int, option: int, nbytes: int) -> bytes:
        """struct ucred."""
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
        return struct.pack("3i", 4711, self._uid, self._uid)[:nbytes]


class _Client(trio.abc.Stream):
    """A peer of any user, who asks one question."""

    def __init__(self, uid: int) -> None:
        self.socket = _Socket(uid)
        self.questions = [encode({"command": "echo", "arguments": {"a": 1}})]
        self.told = b""
        self.is_closed = False

    async def send_all(self, data: bytes) -> None:
        self.told += data

    async def wait_send_all_might_not_block(self) -> None:
        """Never waits."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return self.questions.pop() if self.questions else b""

    async def aclose(self) -> None:
        self.is_closed = True


class _Listener:
    """Accepts these clients, then is closed."""

    def __init__(self, clients: list[_Client]) -> None:
        self._clients = clients[::-1]

    async def accept(self) -> _Client:
        if not self._clients:
            raise trio.ClosedResourceError
        return self._clients.pop()


async def test_who_may_ask():
    """A client that reaches the socket is answered only where it is the mount's user, or root."""
    ours = os.geteuid()
    strangers = [_Client(uid) for uid in (ours + 1, 65534, 2**31 - 1, ours + 1)]
    friends = [_Client(ours), _Client(0)]
    async with open_background() as background:
        await Control({"echo": _echo}).serve(_Listener([*strangers, *friends, *strangers[:1]]), background)
    for client in strangers:
        assert client.is_closed
        assert client.told == b""
        assert client.questions
    for client in friends:
        assert client.is_closed
        assert b'"ok": true' in client.told


async def test_a_stranger_whom_the_modes_let_in(tmp_path):
    """Where every user can open the socket, a connection of another user (whom only root can be) is closed, and one of
    the mount's own is answered."""
    ask = (
        "import os, socket, sys; uid = int(sys.argv[1]); uid == os.geteuid() or (os.setgroups([]), os.setuid(uid));"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2]); s.sendall(sys.argv[3].encode());"
        "s.shutdown(socket.SHUT_WR); print(s.makefile().read())"
    )
    heard = {os.geteuid(): True} | ({65534: False} if os.geteuid() == 0 else {})
    async with serving(tmp_path / "run") as path:
        path.chmod(0o666)
        path.parent.chmod(0o711)
        folder = os.open(path.parent, os.O_PATH)  # past the folders above it, which are closed to others
        try:
            for uid, is_heard in heard.items():
                line = encode({"command": "echo"}).decode()
                command = [sys.executable, "-c", ask, str(uid), f"/proc/self/fd/{folder}/{path.name}", line]
                done = await trio.run_process(command, capture_stdout=True, pass_fds=[folder], check=is_heard)
                assert (b'"ok": true' in done.stdout) is is_heard
        finally:
            os.close(folder)
