"""Start of the daemon: as a child in the background, or in this process.

It owns the way of settings and reports: settings travel as JSON on the child's stdin, never in argv or the environment,
and reports come back as JSON lines on a socket. It must not know what a mount is.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

import cffs
from cffs.cli.messages import Failed, tell
from cffs.cli.reload_settings import recipe
from cffs.cli.unmount_tools import end
from cffs.core.one_line import visible
from cffs.core.settings import Settings
from cffs.daemon.adoption import adopt
from cffs.daemon.mount_request import hand_over
from cffs.daemon.mounting import Connection, MountIdentity, free, mount
from cffs.daemon.report import Report, ReportKind

#: Credentials are tried for 1 s and the mount itself takes milliseconds; a daemon that is silent for this long is
#: stuck.
READY_SECONDS = 60.0
#: The daemon promises an orderly end within 2 s (cffs/docs/semantics.md#ends).
_GRACE_SECONDS = 5.0
_LARGEST_LAST_WORDS_NBYTES = 65_536


def run_in_foreground(
    settings: Settings,
    mountpoint: Path,
    *,
    options: Mapping[str, object] | None = None,
    hints: Sequence[str] = (),
    adopted: int | None = None,
) -> int:
    """Run the daemon in this process until it ends, and return its exit status. Raises what the daemon raises.

    `options` is the option layer that the settings came from, where they can be read again. `hints` are lines for the
    user, shown once the mount answers. `adopted` is the descriptor of a mount that the caller made.
    """
    task = _task(settings, mountpoint, options)
    _forget_variables()
    os.umask(0o077)  # a mask of 0177 would make folders that we cannot enter
    from cffs.daemon.hardening import harden
    from cffs.daemon.main import start

    harden(debug=settings.debug)

    def report(sent: Report) -> None:
        if sent.kind is ReportKind.READY:
            tell(f"mounted on {mountpoint}; Ctrl-C unmounts")
            for line in hints:  # shown as they stand, because they are meant to be copied
                click.echo(visible(line), err=True)
        else:
            tell(sent.message)

    return start(task, report=report, make_mount=_maker(settings, mountpoint, adopted))


def _maker(settings: Settings, mountpoint: Path, adopted: int | None) -> Callable[[], Connection]:
    return partial(mount, settings, mountpoint) if adopted is None else partial(adopt, adopted)


def _task(settings: Settings, mountpoint: Path, options: Mapping[str, object] | None) -> dict[str, object]:
    """The daemon's task as JSON can carry it; it holds secrets."""
    task: dict[str, object] = {"settings": settings.to_plain(), "mountpoint": str(mountpoint)}
    if options is not None:
        task["reread"] = recipe(options, settings)
    return task


def start_in_background(
    settings: Settings,
    mountpoint: Path,
    *,
    options: Mapping[str, object] | None = None,
    command: Sequence[str] | None = None,
    adopted: int | None = None,
) -> None:
    """Start the daemon and return once the mount answers. Raises Failed with one line where it will not.

    Ctrl-C or SIGTERM meanwhile ends the daemon, and nothing stays mounted. `options` and `adopted` are as in
    `run_in_foreground`.
    """
    task = json.dumps(_task(settings, mountpoint, options)).encode()
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    made: list[MountIdentity] = []

    def make_mount() -> Connection:
        # here and not in the daemon: see daemon/mounting
        connection = _maker(settings, mountpoint, adopted)()
        made.append(connection.identity)
        return connection

    # in memory, so that no folder for temporary files needs to be writable
    with os.fdopen(os.memfd_create("last words"), "rb") as last_words, ours:
        # SIGTERM is treated as Ctrl-C: the child must not outlive a command whose messages are read by no one
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        child = None
        try:
            try:
                child = subprocess.Popen(
                    [*(command or (sys.executable, "-P", "-m", "cffs.daemon")), str(its.fileno())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=last_words,
                    pass_fds=(its.fileno(),),
                    start_new_session=True,
                    env=child_environment(),
                )
            finally:
                its.close()
            _hand_over(child, task)
            _wait_until_ready(child, ours.fileno(), last_words.fileno(), make_mount)
            child.returncode = 0  # it lives on: Popen must not warn about a child that was not waited for
        except BaseException:
            if child is not None:
                end(child, grace_seconds=_GRACE_SECONDS)
                for known in made:  # a daemon that had to be killed leaves a dead mount
                    free(known)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)


def _hand_over(child: "subprocess.Popen[bytes]", task: bytes) -> None:
    if child.stdin is None:
        raise AssertionError("Popen was asked for a pipe")
    try:
        with child.stdin as pipe:
            pipe.write(task)
    except BrokenPipeError:
        return  # it died at once; its last words are read below


def _wait_until_ready(
    child: "subprocess.Popen[bytes]", reports: int, last_words: int, make_mount: Callable[[], Connection]
) -> None:
    buffered = b""
    while True:
        if not select.select([reports], [], [], READY_SECONDS)[0]:
            raise Failed(f"the daemon did not answer within {READY_SECONDS:.0f} s and was ended")
        piece = _piece(reports)
        if not piece:
            raise Failed(_death_notice(child, last_words))
        buffered += piece
        *lines, buffered = buffered.split(b"\n")
        for line in lines:
            try:
                sent = Report.from_line(line.decode())
            except ValueError as error:
                raise Failed("the daemon's report is not understood; reinstall cffs") from error
            if sent.kind is ReportKind.READY:
                return
            if sent.kind is ReportKind.MOUNT:
                with suppress(OSError):  # it is gone; its last words are read below
                    hand_over(make_mount(), reports)
                continue
            if sent.kind is ReportKind.ERROR:
                raise Failed(sent.message or "the daemon failed without a reason")
            tell(sent.message)


def _piece(reports: int) -> bytes:
    try:
        return os.read(reports, 65_536)
    except ConnectionResetError:
        return b""  # it ended before it had read its whole task


def _death_notice(child: "subprocess.Popen[bytes]", last_words: int) -> str:
    try:
        status = child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return "the daemon closed its report without a word and was ended"
    length = os.fstat(last_words).st_size
    start = max(0, length - _LARGEST_LAST_WORDS_NBYTES)
    lines = os.pread(last_words, _LARGEST_LAST_WORDS_NBYTES, start).decode(errors="replace").strip().splitlines()
    how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    # an exception group ends in a frame of dashes
    words = [text for line in lines if (text := line.strip(" |+-"))]
    said = f": {words[-1]}" if words else ""
    return f"the daemon ended {how} before the mount was ready{said}"


def child_environment() -> dict[str, str]:
    """Our environment without any CFFS_ variable: the settings hold their values, and a child needs no secret twice."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CFFS_")}
    home = str(Path(cffs.__file__).resolve().parent.parent)
    if home not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        # in a checkout, -P keeps the working folder off the path, so the child needs the path of cffs
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (home, environment.get("PYTHONPATH"))))
    return environment


def _forget_variables() -> None:
    for name in [name for name in os.environ if name.startswith("CFFS_")]:
        del os.environ[name]
