"""The control socket: answers commands, also while the origin hangs.

It answers beside the kernel, so a mount that hangs can still be asked. Access is checked twice: the socket is 0600 in a
folder of ours, and the peer's uid must be ours or root's.

Owns the conversations. It must not know what a command does.
"""

import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cffs.core.errors import CffsError
from cffs.daemon.background import NurseryBackground
from cffs.daemon.control_wire import MAX_LINE_NBYTES, decode, encode, socket_name
from cffs.daemon.hardening import private_folder

log = logging.getLogger(__name__)

Progress = Callable[[object], Awaitable[None]]
#: Gets arguments and a way to report progress; returns what JSON can carry. A CffsError becomes the client's one line.
Command = Callable[[Mapping[str, object], Progress], Awaitable[object]]

#: Conversations at once; a further one is closed unheard.
_MOST_CLIENTS = 32
#: A client that sends nothing for so long is gone, and so is one that does not read an answer for so long.
_IDLE_SECONDS = 60.0
_RECEIVE_NBYTES = 65_536
#: The pause before the next attempt where this machine has no descriptor for a client.
_SHORTAGE_SECONDS = 0.1
_BACKLOG = 16
#: The longest path that a socket's address can hold (unix(7)).
_LONGEST_PATH_NBYTES = 107
#: struct ucred of unix(7): pid, uid, gid.
_PEER = struct.Struct("3i")


class Control:
    """Answers the commands of clients."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self.commands = commands
        self._clients = 0

    async def serve(self, listener: trio.SocketListener, background: NurseryBackground) -> None:
        """Accept clients until the listener is closed."""
        while True:
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                return
            except OSError as error:  # no descriptor is left for a client; later clients are heard again
                log.debug("control socket waits reason=%s", error.strerror)
                await trio.sleep(_SHORTAGE_SECONDS)
                continue
            if self._clients >= _MOST_CLIENTS or not _may_ask(stream):
                await trio.aclose_forcefully(stream)
            else:
                background.start(self.converse, stream)

    async def converse(self, stream: trio.SocketStream) -> None:
        """Answer one client's lines until it leaves. Nonsense ends that client's conversation and nothing else."""
        self._clients += 1
        try:
            async with stream:
                waiting = b""
                while True:
                    with trio.move_on_after(_IDLE_SECONDS):
                        piece = await stream.receive_some(_RECEIVE_NBYTES)
                        waiting += piece
                        *lines, waiting = waiting.split(b"\n")
                        if not piece or len(waiting) > MAX_LINE_NBYTES:
                            return
                        for line in lines:
                            await self._answer(line, stream)
                        continue
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self._clients -= 1

    async def _answer(self, line: bytes, stream: trio.SocketStream) -> None:
        async def send_progress(progress: object) -> None:
            await stream.send_all(encode({"progress": progress}))

        try:
            message = decode(line)
            name, arguments = message.get("command"), message.get("arguments", {})
            command = self.commands.get(name) if isinstance(name, str) else None
            if command is None or not isinstance(arguments, Mapping):
                known = ", ".join(sorted(self.commands))
                raise ValueError(f"no such command; this mount knows: {known}")
            # a command has bounds of its own, and may take longer than a silent client is waited for
            with trio.CancelScope(deadline=float("inf")):
                answer: dict[str, object] = {"ok": True, "result": await command(arguments, send_progress)}
        except (ValueError, CffsError) as error:
            answer = {"ok": False, "error": " ".join(str(error).split()) or type(error).__name__}
        await stream.send_all(encode(answer))


def _may_ask(stream: trio.SocketStream) -> bool:
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _pid, uid, _gid = _PEER.unpack(bytes(raw))
    return uid in (0, os.geteuid())


@asynccontextmanager
async def open_control(
    folders: tuple[Path, ...], mountpoint: Path, control: Control, background: NurseryBackground
) -> AsyncIterator[Path | None]:
    """Listen in the first of `folders` that can be used, for the length of the block; yields the socket's path.

    Yields None, with one log line, where no folder can be used: the mount is worth more than its socket.
    """
    opened = next(filter(None, (_listen(folder, mountpoint) for folder in folders)), None)
    if opened is None:
        log.warning("no control socket folders=%s", ", ".join(map(str, folders)))
        yield None
        return
    path, listening = opened
    identity = os.stat(path).st_ino
    async with trio.SocketListener(trio.socket.from_stdlib_socket(listening)) as listener:
        background.start(control.serve, listener, background)
        try:
            yield path
        finally:
            _remove(path, identity)


def _listen(folder: Path, mountpoint: Path) -> tuple[Path, socket.socket] | None:
    try:
        private_folder(folder)
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (CffsError, OSError) as error:
        log.debug("no control socket in folder=%s reason=%s", folder, error)
        return None
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        name = socket_name(mountpoint)
        if not _is_stale(descriptor, name):
            # a mount at this path in another mount namespace keeps the name; ours is shown by status.json
            name = name.removesuffix(".sock") + f"-{os.getpid()}.sock"
            _is_stale(descriptor, name)
        before = os.umask(0o177)
        try:
            path = str(folder / name)
            # bound by its path, so that the kernel's list of sockets shows where it is; by the descriptor where the
            # path is too long
            is_short = len(os.fsencode(path)) <= _LONGEST_PATH_NBYTES
            listening.bind(path if is_short else f"/proc/self/fd/{descriptor}/{name}")
        finally:
            os.umask(before)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
        return folder / name, listening
    except OSError as error:
        listening.close()
        log.debug("no control socket in folder=%s reason=%s", folder, error)
        return None
    finally:
        os.close(descriptor)


def _is_stale(folder: int, name: str) -> bool:
    """True where no process listens there. What a killed daemon left behind is removed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(f"/proc/self/fd/{folder}/{name}")
        except FileNotFoundError:
            return True
        except (ConnectionRefusedError, OSError) as error:
            if isinstance(error, BlockingIOError):
                return False
            os.unlink(name, dir_fd=folder)
            return True
        return False


def _remove(path: Path, identity: int) -> None:
    try:
        if os.stat(path).st_ino == identity:
            path.unlink()
    except OSError:
        return  # it is gone already
