"""Client of a running mount's control socket.

It owns how the socket is found: by the mount point, or through the mount itself. It must not know what a command does.
The daemon answers while the service hangs.
"""

import json
import os
import pwd
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cffs.cli.messages import Failed
from cffs.cli.mounts import read_status
from cffs.core.procfs import FILESYSTEM, Mount
from cffs.daemon.control_wire import decode, encode, socket_name
from cffs.daemon.mount_table import mounts_now

#: The daemon answers from memory; a loop that is busy for longer is stuck.
LIMIT_SECONDS = 2.0
_RECEIVE_NBYTES = 65_536
#: Far above a status, so that no daemon can fill our memory.
_LARGEST_LINE_NBYTES = 2**24
_UNIX_SOCKETS = Path("/proc/net/unix")
#: struct ucred of unix(7): pid, uid, gid.
_PEER = struct.Struct("3i")


class NoSocket(Failed):
    """There is no socket that accepts: an older daemon, a dead one, or one whose folder is not known here."""


class NoAnswer(Failed):
    """The daemon does not answer in time; `pid` is its process, where that can be seen from here."""

    pid: int | None = None


class Line:
    """A connection to a daemon, used as a context manager. It ends when the daemon ends, whatever its pid is here."""

    def __init__(self, connection: socket.socket, mountpoint: Path) -> None:
        self._connection = connection
        self._mountpoint = mountpoint

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def pid(self) -> int | None:
        """The daemon's process as it is numbered here; None where its namespace cannot be seen from here."""
        return _peer(self._connection)[0] or None

    def ask(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        limit_seconds: float = LIMIT_SECONDS,
        on_progress: Callable[[object], None] | None = None,
    ) -> object:
        """The result of a command, as the function `ask` gives it."""
        self._connection.settimeout(limit_seconds)
        try:
            self._connection.sendall(encode({"command": command, "arguments": dict(arguments or {})}))
            for line in _lines(self._connection, limit_seconds):
                try:
                    answer = decode(line)
                except ValueError as error:
                    raise Failed(f"the daemon of {self._mountpoint} {error}; remount with this version") from None
                if "progress" in answer:
                    if on_progress is not None:
                        on_progress(answer["progress"])
                elif answer.get("ok") is True:
                    return answer.get("result")
                else:
                    raise Failed(str(answer.get("error") or "the daemon failed without a reason"))
        except TimeoutError as error:
            raise NoAnswer(f"the daemon of {self._mountpoint} does not answer") from error
        except OSError as error:
            raise NoSocket(f"the daemon of {self._mountpoint} hung up: {error.strerror}") from error
        raise NoSocket(f"the daemon of {self._mountpoint} hung up")

    def wait_for_end(self, *, limit_seconds: float) -> bool:
        """True once the daemon has ended; False where it still lives after the limit."""
        deadline = time.monotonic() + limit_seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                self._connection.settimeout(left)
                if not self._connection.recv(_RECEIVE_NBYTES):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False


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
    with connected(mount, limit_seconds=limit_seconds) as line:
        return line.ask(command, arguments, limit_seconds=limit_seconds, on_progress=on_progress)


def connected(mount: Mount, *, limit_seconds: float = LIMIT_SECONDS) -> Line:
    """Connect to the mount's daemon. Raises NoSocket or NoAnswer.

    The socket is named after the mount point and lies in one of a few folders. Where none of them has it, or it is
    another mount's, the status of the mount itself says where it is.
    """
    for path in _sockets(mount):
        connection = _connection(path, mount, limit_seconds)
        if connection is None:
            continue
        line = Line(connection, mount.mountpoint)
        try:
            answer = line.ask("hello", limit_seconds=limit_seconds)
        except NoSocket:
            answer = None
        except BaseException as error:
            if isinstance(error, NoAnswer):
                error.pid = line.pid
            line.close()
            raise
        if isinstance(answer, dict) and _is_of(answer, mount):
            return line
        line.close()
    raise NoSocket(f"the mount at {mount.mountpoint} has no control socket that can be reached from here")


def unseen(mountpoint: Path) -> Mount:
    """A mount that the mount table does not show (any more), by the path that its daemon knows."""
    return Mount(mountpoint=mountpoint, filesystem=FILESYSTEM, source="", user_id=None)


def folders(mount: Mount) -> Iterator[Path]:
    """The folders where a mount's socket may be: those of this user, then those of the user who mounted it (root may
    look there)."""
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


def _sockets(mount: Mount) -> Iterator[Path]:
    """The paths where the daemon may listen, the likeliest first. The mount itself is asked last, because it may
    hang."""
    same = [other for other in mounts_now() if mount.device and other.device == mount.device]
    for mountpoint in dict.fromkeys((mount.mountpoint, *(other.mountpoint for other in same))):
        for folder in folders(mount):
            yield folder / socket_name(mountpoint)
    yield from _bound(socket_name(mount.mountpoint))
    for other in same:
        answer = _control_in(read_status(other.mountpoint)) if other.root == Path("/") else None
        if answer is not None:
            yield answer


def _bound(name: str) -> Iterator[Path]:
    """Sockets of that name wherever they are bound, as far as our network namespace shows them."""
    try:
        lines = os.fsdecode(_UNIX_SOCKETS.read_bytes()).split("\n")
    except OSError:
        return
    for line in lines:
        path = line.partition("/")[2]
        if path.endswith(f"/{name}"):
            yield Path("/" + path)


def _control_in(status: bytes | None) -> Path | None:
    try:
        answer = json.loads(status or b"null")
    except ValueError:
        return None
    control = answer.get("control") if isinstance(answer, dict) else None
    return Path(control) if isinstance(control, str) and control.startswith("/") else None


def _is_of(answer: Mapping[str, object], mount: Mount) -> bool:
    """True where the daemon that answered is that of the mount: another namespace may have one at an equal path."""
    if mount.device and answer.get("device"):
        return answer["device"] == mount.device
    return answer.get("mountpoint") == str(mount.mountpoint)


def _connection(path: Path, mount: Mount, limit_seconds: float) -> socket.socket | None:
    """A connection to the socket, where its owner is root, this user, or the user who mounted; None otherwise."""
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(limit_seconds)
    try:
        # through the descriptor: the path of a socket may have at most 107 bytes
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        if _peer(connection)[1] in (0, os.geteuid(), mount.user_id):
            return connection
    except TimeoutError as error:
        connection.close()
        raise NoAnswer(f"the daemon of {mount.mountpoint} does not answer") from error
    except OSError:
        pass
    finally:
        os.close(folder)
    connection.close()
    return None


def _peer(connection: socket.socket) -> tuple[int, int]:
    """The process and user at the other end, as the kernel numbers them for us."""
    pid, uid, _gid = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid


def _lines(connection: socket.socket, limit_seconds: float) -> Iterator[bytes]:
    """The lines of the answer. Raises TimeoutError where one does not come whole in time: root may be talking to the
    daemon of any user."""
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
