"""`cffs demo`: a stand-in in a child process, mounted until Ctrl-C.

It owns the demo's settings and temporary folder. It must not touch the user's own cache, state or config.
"""

import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cffs.cli.launch import run_in_foreground
from cffs.cli.messages import Failed, tell
from cffs.cli.mountpoint import prepare
from cffs.cli.standin import DEFAULT_CALLS, DEFAULT_SEED, StandinChild, running_standin
from cffs.core.settings import Settings
from cffs.core.settings_resolve import Layers, UserPaths, resolve
from cffs.standin.office_account import FOUND_PARTY, FOUND_SECONDS


@click.command(short_help="Mount an embedded stand-in, to look around.")
@click.option("--calls", type=click.IntRange(0, 1_000_000), default=DEFAULT_CALLS, help="Calls in the account.")
@click.option("--seed", type=int, default=DEFAULT_SEED, help="The account is computed from it.")
@click.option("--debug", is_flag=True, help="Log everything, show tracebacks.")
@click.argument("mountpoint", type=Path, default=Path("mnt"))
def demo(mountpoint: Path, calls: int, seed: int, debug: bool) -> int:
    """Mount an embedded stand-in on MOUNTPOINT (./mnt, made if missing) until Ctrl-C. Needs no account."""
    ready = prepare(mountpoint, create=True)
    # until the daemon's own handler is in place
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_standin(calls=calls, seed=seed) as standin, temporary_folder() as folder:
        tell(f"the stand-in answers at {standin.base_url}")
        settings = demo_settings(standin, folder, foreground=True, debug=debug)
        return run_in_foreground(settings, ready, hints=what_next(mountpoint))


def what_next(mountpoint: Path) -> list[str]:
    """Lines that say what to look at in the demo's mount, and how to mount an account of one's own.

    Every path in them exists in the demo's account.
    """
    at = shlex.quote(str(mountpoint))
    player = next((name for name in ("mpv", "ffplay", "vlc", "mplayer") if shutil.which(name)), "mpv")
    return [
        "look around in a file manager, or in another terminal:",
        f"  ls {at}/campaigns {at}/by-number/{FOUND_PARTY}",
        f"  {player} {at}/by-number/{FOUND_PARTY}/*_0m{FOUND_SECONDS}s_*",
        f"  ls '{mountpoint}/search/number={FOUND_PARTY}&min-seconds=20'",
        "your own account:",
        "  cffs login && mkdir -p ~/calls && cffs mount ~/calls",
    ]


def demo_settings(standin: StandinChild, folder: Path, *, foreground: bool, debug: bool = False) -> Settings:
    """Settings for a mount of that stand-in which keep everything below `folder`."""
    user_paths = UserPaths(
        home=folder,
        working_folder=folder,
        config_file=folder / "config.toml",
        cache_dir=folder / "cache",
        state_dir=folder / "state",
        runtime_dir=folder / "run",
        uid=os.geteuid(),
        gid=os.getegid(),
    )
    layers = Layers(
        options={"debug": "yes"} if debug else {"log_level": "warning"},
        environment=standin.environment,
        config={},
        user_paths=user_paths,
        read_secret=_no_file,
    )
    return resolve(layers, foreground=foreground).settings


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private temporary folder, removed afterwards. Raises Failed where none can be made."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="cffs-demo-"))
    except OSError as error:
        raise Failed(f"cannot make a temporary folder: {error.strerror}; set TMPDIR to a folder of your own") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _no_file(path: Path) -> str:
    raise Failed(f"the stand-in names no file, and {path} is not read")
