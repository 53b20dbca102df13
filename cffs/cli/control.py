"""Asks a running mount through its control socket: found by the mount point alone, answered while the origin hangs.

It must not know what a command does, nor touch the mount. `cli/status`, `cli/umount`, `cli/doctor` and later commands
call it.
"""

import os
import pwd
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from cffs.cli.messages import Failed
from cffs.cli.mounts import Mount
from cffs.daemon.control_wire import decode, encode, socket_name

#: The daemon answers from memory; a loop that is busy for longer is stuck.
LIMIT_SECONDS = 2.0
_RECEIVE_NBYTES = 65_536
#: Far above a status; no daemon's nonsense may fill our memory.
_LARGEST_LINE_NBYTES = 2**24


class NoSocket(Failed):
    """Nobody listens: an older daemon, a dead one, or one whose folder is not known here."""


class NoAnswer(Failed):
    """Somebody listens and does not answer in time."""


def ask(
    mount: Mount,
    command: str,
    arguments: Mapping[str, object] | None = None,
    *,
    limit_seconds: float = LIMIT_SECONDS,
    on_progress: Callable[[object], None] | None = None,
) -> object:
    """The result of a command. `limit_seconds` bounds each wait for a line. Raises NoSocket, NoAnswer, or Failed with
    what the daemon said."""
    with closing(_connected(mount, limit_seconds)) as connection:
        try:
            connection.sendall(encode({"command": command, "arguments": dict(arguments or {})}))
            for line in _lines(connection, limit_seconds):
                try:
                    told = decode(line)
                except ValueError as error:
                    raise Failed(f"the daemon of {mount.mountpoint} {error}; remount with this version") from None
                if "progress" in told:
                    if on_progress is not None:
                        on_progress(told["progress"])
                elif told.get("ok") is True:
                    return told.get("result")
                else:
                    raise Failed(str(told.get("error") or "the daemon failed without a reason"))
        except TimeoutError as error:
            raise NoAnswer(f"the daemon of {mount.mountpoint} does not answer") from error
        except OSError as error:
            raise NoSocket(f"the daemon of {mount.mountpoint} hung up: {error.strerror}") from error
    raise NoSocket(f"the daemon of {mount.mountpoint} hung up")


def folders(mount: Mount) -> Iterator[Path]:
    """Where the socket of a mount may be: this user's folders, then those of who mounted it (root may look there)."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime) / "cffs"
    for variable in ("CFFS_CACHE_DIR", "XDG_CACHE_HOME"):
        if folder := os.environ.get(variable):
            yield Path(folder) if variable.startswith("CFFS") else Path(folder) / "cffs"
    try:
        yield Path.home() / ".cache/cffs"
        owner = os.geteuid() if mount.user_id is None else mount.user_id
        yield Path(f"/run/user/{owner}/cffs")
        yield Path(pwd.getpwuid(owner).pw_dir) / ".cache/cffs"
    except (KeyError, RuntimeError):
        return  # a uid without an account, or without a home


def _connected(mount: Mount, limit_seconds: float) -> socket.socket:
    name = socket_name(mount.mountpoint)
    for folder in folders(mount):
        try:
            descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(limit_seconds)
        try:
            # through the descriptor: a socket's path may have 107 bytes only
            connection.connect(f"/proc/self/fd/{descriptor}/{name}")
        except TimeoutError as error:
            connection.close()
            raise NoAnswer(f"the daemon of {mount.mountpoint} does not answer") from error
        except OSError:
            connection.close()
            continue
        finally:
            os.close(descriptor)
        return connection
    raise NoSocket(f"the mount at {mount.mountpoint} has no control socket that can be reached from here")


def _lines(connection: socket.socket, limit_seconds: float) -> Iterator[bytes]:
    """Line by line; TimeoutError where one does not come whole in time. Root may be talking to anybody's daemon."""
    waiting = b""
    deadline = time.monotonic() + limit_seconds
    while piece := connection.recv(_RECEIVE_NBYTES):
        waiting += piece
        if b"\n" in piece:
            deadline = time.monotonic() + limit_seconds
        elif time.monotonic() > deadline or len(waiting) > _LARGEST_LINE_NBYTES:
            raise TimeoutError
        *lines, waiting = waiting.split(b"\n")
        yield from lines
