"""Faults inside the daemon: clocks, a resolver and a disk that go wrong.

Python runs this before anything else in a daemon whose PYTHONPATH leads here. It owns nothing but the wrapping. Files
in the folder that FAULT_SHIM names say what goes wrong, read at each call:

    clock      seconds that the wall clock is ahead
    later      seconds that have gone by unseen: what trio measures all durations with is ahead by so much
    resolves   names under .invalid are this machine while it exists
    disk       `FUNCTION,... ERRNO`: those functions of os fail on the cache folder's files; open where it may write
    kill       `FUNCTION N`: the Nth call from then on of that function of os writes half and is the process's last
"""

import os
import signal
import socket
import time
from pathlib import Path

FOLDER = Path(os.environ["FAULT_SHIM"]) if "FAULT_SHIM" in os.environ else None


def _told(name: str) -> str | None:
    try:
        return (FOLDER / name).read_text() if FOLDER else None
    except OSError:
        return None


def _ahead_seconds() -> float:
    return float(_told("clock") or 0)


def _wrap_clock() -> None:
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + _ahead_seconds()
    time.time_ns = lambda: now_ns() + int(_ahead_seconds()) * 10**9


def _wrap_durations() -> None:
    now = time.perf_counter
    time.perf_counter = lambda: now() + float(_told("later") or 0)


def _wrap_resolver() -> None:
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *arguments, **more):
        name = host.decode() if isinstance(host, bytes) else host
        if isinstance(name, str) and name.rstrip(".").endswith(".invalid"):
            if _told("resolves") is None:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = "127.0.0.1"
        return resolve(host, *arguments, **more)

    socket.getaddrinfo = getaddrinfo


def _is_block(file) -> bool:
    try:
        return "/blocks/" in (os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else os.fspath(file))
    except (OSError, TypeError):
        return False


def _wrap_disk(name: str) -> None:
    function, calls = getattr(os, name), [0]

    def wrapper(file, *arguments, **more):
        told, kill = _told("disk"), _told("kill")
        writes = name != "open" or arguments[0] & (os.O_RDWR | os.O_WRONLY)
        if told is not None and name in told.split()[0].split(",") and writes and _is_block(file):
            raise OSError(int(told.split()[1]), os.strerror(int(told.split()[1])))
        if kill is not None and kill.split()[0] == name and _is_block(file):
            calls[0] += 1
            if calls[0] == int(kill.split()[1]):
                if name == "pwrite":
                    function(file, arguments[0][: len(arguments[0]) // 2], *arguments[1:])
                os.kill(os.getpid(), signal.SIGKILL)
        return function(file, *arguments, **more)

    setattr(os, name, wrapper)


if FOLDER is not None:
    _wrap_clock()
    _wrap_durations()
    _wrap_resolver()
    for _name in ("pwrite", "pread", "preadv", "open", "mkdir", "unlink", "rename"):
        _wrap_disk(_name)
