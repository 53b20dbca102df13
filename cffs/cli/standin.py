"""`cffs standin`, and a stand-in as a child process for the demo.

It owns how the child ends with its parent. It must not know how the stand-in works.
"""

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import click

from cffs.cli.launch import child_environment
from cffs.cli.messages import Failed, tell
from cffs.cli.unmount_tools import end

DEFAULT_CALLS = 60
DEFAULT_SEED = 1
#: It computes its account and listens; a machine under load takes a few seconds to import trio.
_READY_SECONDS = 30.0


@click.command(short_help="Serve an embedded stand-in for both APIs.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port on 127.0.0.1  [any free one]")
@click.option("--calls", type=click.IntRange(0, 1_000_000), default=DEFAULT_CALLS, help="Calls in the account.")
@click.option("--seed", type=int, default=DEFAULT_SEED, help="The account is computed from it.")
@click.option("--seed-only", is_flag=True, help="Answer the operations of the two documents and nothing else.")
@click.option("--export", is_flag=True, help="Serve in the background; print variables for eval, and how to mount.")
@click.option("--with-stdin", is_flag=True, hidden=True)
@click.option("--with-process", type=int, hidden=True)
def standin(
    port: int, calls: int, seed: int, seed_only: bool, export: bool, with_stdin: bool, with_process: int | None
) -> int:
    """Serve a stand-in for both APIs on 127.0.0.1 until Ctrl-C; prints its address and the credentials it accepts.

    eval "$(cffs standin --export)" makes this shell's cffs use one that ends with the shell.
    """
    if export:
        return _export(["--port", str(port), *_account_options(calls, seed), *(["--seed-only"] if seed_only else [])])
    from cffs.standin.run import run_standin

    # ways for a child to end with its parent, whatever ends that
    if with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    if with_process is not None:
        threading.Thread(target=_end_with_process, args=(with_process,), daemon=True).start()
    try:
        return run_standin(port=port, calls=calls, seed=seed, seed_only=seed_only, stdout=sys.stdout)
    except OSError as error:
        raise Failed(f"cannot listen on 127.0.0.1:{port}: {error.strerror}") from error


def _export(options: Sequence[str]) -> int:
    """Start a stand-in that outlives this command, tied to the session, and print what a shell evaluates."""
    leader = os.getsid(0)  # 0 where it is beyond our process namespace; our own number where it is this command
    tied = ["--with-process", str(leader)] if leader not in (0, os.getpid()) else []
    child = _started([*options, *tied], stdin=subprocess.DEVNULL)
    if child.stdout is None:
        raise AssertionError("Popen was asked for a pipe")
    try:
        with child.stdout as stream:
            ready = _read_ready(stream)
    except BaseException:
        end(child, grace_seconds=2.0)
        raise
    child.returncode = 0  # it lives on: Popen must not warn about a child that was not waited for
    variables = {**ready.environment, "CFFS_STANDIN_PID": str(child.pid)}
    for name, value in sorted(variables.items()):
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo('# it ends with this session, or by: kill "$CFFS_STANDIN_PID"; to mount it:')
    click.echo("# mkdir -p ~/calls && cffs mount ~/calls")
    if not sys.stdout.isatty():
        tell("a stand-in serves a made-up account to this shell; now: mkdir -p ~/calls && cffs mount ~/calls")
    return 0


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def _end_with_process(pid: int) -> None:
    """End this process with another, the leader of a session, because the parent holds no pipe."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        pass
    except OSError:
        return  # it cannot be waited for, so only a signal ends us
    else:
        select.select([descriptor], [], [])
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandinChild:
    """A running stand-in, and the variables that make a mount use it."""

    base_url: str
    environment: dict[str, str]


@contextmanager
def running_standin(*, calls: int = DEFAULT_CALLS, seed: int = DEFAULT_SEED) -> Iterator[StandinChild]:
    """A stand-in in a child process, ended afterwards. Raises Failed where it does not come up."""
    child = _started(["--with-stdin", *_account_options(calls, seed)], stdin=subprocess.PIPE)
    try:
        if child.stdin is None or child.stdout is None:
            raise AssertionError("Popen was asked for pipes")
        with child.stdin, child.stdout as stream:
            yield _read_ready(stream)
    finally:
        end(child, grace_seconds=2.0)


def _account_options(calls: int, seed: int) -> list[str]:
    return ["--calls", str(calls), "--seed", str(seed)]


def _started(options: Sequence[str], *, stdin: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "cffs.cli", "standin", *options],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if stdin == subprocess.DEVNULL else None,
        bufsize=0,
        env=child_environment(),
        start_new_session=True,
    )


def _read_ready(stream: IO[bytes]) -> StandinChild:
    base_url, environment = "", {}
    while select.select([stream], [], [], _READY_SECONDS)[0]:
        line = stream.readline().decode(errors="replace").strip()
        if not line:
            break
        word, _, rest = line.partition(" ")
        if word == "ready":
            base_url = rest
        elif word in ("v1", "v2"):
            environment[f"CFFS_{word.upper()}_URL"] = rest
        elif match := re.fullmatch(r"(CFFS_[A-Z_]+)=(.*)", line):
            environment[match[1]] = match[2]
        if word == "v2" and base_url:
            return StandinChild(base_url=base_url, environment=environment)
    raise Failed("the stand-in did not start; run `cffs standin` to see why")
