"""The programs that are compared, each mounted cold and ended by its pid.

It owns their command lines, and that each has a fresh process, empty caches and an empty home. It must not know what is
read or measured. Every program has its own defaults but for what its name says: which wire, which cache, which
read-ahead.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench_cases.site import Place, Site

ROOT = Path(__file__).resolve().parents[3]
#: Programs of the extra `bench`: newer than Debian's, or not in Debian.
NEWEST = Path(sys.executable).parent
START_SECONDS = 20
STOP_SECONDS = 20
#: The kernel's own read-ahead, and so that of a mount by an ordinary user.
DEFAULT_READ_AHEAD_KB = 128


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mount: where its files are, what it keeps on disk, and its daemon."""

    folder: Path
    cache: Path
    process: subprocess.Popen[bytes]

    def pss_nbytes(self) -> int:
        """The daemon's proportional share of memory now."""
        try:
            rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        except OSError:
            return 0
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024

    def cpu_seconds(self) -> float:
        """The processor time that the daemon has used so far: what noise on the machine changes least."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cffs:
    """cffs, varied by one option each; `wide` is root's read-ahead of 1 MiB instead of the default."""

    wire: str = "own"
    keeps: bool = False
    wide: bool = False

    @contextmanager
    def mounted(self, site: Site, place: Place, set_name: str, *, is_nested: bool = False) -> Iterator[Mounted]:
        """A mount of the set's account; `is_nested`: its files under campaigns and calls."""
        with _home() as home:
            point = home / "mnt"
            options = ["--v2-url", site.v2_url(place, set_name), "--wire", self.wire, "--ca-bundle", site.ca_bundle]
            options += [] if self.keeps else ["--cache-size", "0"]
            command = [sys.executable, "-P", "-m", "cffs.cli", "mount", "-f", *options, point]
            variables = {"PYTHONPATH": str(ROOT), "CFFS_LOGIN": "bench", "CFFS_PASSWORD": "bench"}
            with _running(command, home, variables) as process:
                _set_read_ahead(point, None if self.wide else DEFAULT_READ_AHEAD_KB)
                folder = point / ("campaigns" if is_nested or set_name == "many" else "recordings")
                yield Mounted(folder, home / "cache", process)


@dataclass(frozen=True, slots=True)
class Rclone:
    """rclone mount over its http backend: `off` streams, `full` keeps files on disk. Debian's, or the `newest`; `tuned`
    is what its documents and a look at its requests suggest for this: no HEAD, eight streams of 4 MiB."""

    mode: str
    newest: bool = False
    tuned: bool = False

    @contextmanager
    def mounted(self, site: Site, place: Place, set_name: str, *, is_nested: bool = False) -> Iterator[Mounted]:
        """A mount of the set's plain folder; `is_nested`: of the one with its files under campaigns and calls."""
        with _home() as home:
            point, program = home / "mnt", NEWEST / "rclone" if self.newest else "/usr/bin/rclone"
            url = site.plain_url(place, set_name, is_nested=is_nested)
            command = [program, "mount", ":http:", point, "--http-url", url, "--read-only"]
            command += ["--vfs-cache-mode", self.mode, "--cache-dir", home / "cache", "--ca-cert", site.ca_bundle]
            if self.tuned:
                command += ["--http-no-head", "--vfs-read-chunk-streams", "8", "--vfs-read-chunk-size", "4M"]
            with _running(command, home, {"RCLONE_CONFIG": str(home / "rclone.conf")}) as process:
                yield Mounted(point, home / "cache", process)


@dataclass(frozen=True, slots=True)
class JuiceFs:
    """JuiceFS over WebDAV: names and sizes in SQLite on this machine, blocks of 4 MiB with nginx, which they are read
    from by GET alone. The volume is filled in files of this machine before."""

    @contextmanager
    def mounted(self, site: Site, place: Place, set_name: str, *, is_nested: bool = False) -> Iterator[Mounted]:
        """A mount of the volume that `fill_juicefs` made."""
        with _home() as home:
            point, meta = home / "mnt", f"sqlite3://{home / 'meta.db'}"
            shutil.copyfile(site.folder / "juicefs.db", home / "meta.db")
            _juicefs(
                home, "config", meta, "--storage", "webdav", "--bucket", site.juicefs_url(place), "--force", "--yes"
            )
            command = [NEWEST / "juicefs", "mount", meta, point, "--read-only", "--no-usage-report", "--no-bgjob"]
            command += ["--cache-dir", home / "cache", "--log", home / "juicefs.log"]
            with _running(command, home, {}) as process:
                yield Mounted(point / ("nested" if is_nested else "plain") / set_name, home / "cache", process)


def fill_juicefs(folder: Path) -> None:
    """A JuiceFS volume with all files below `plain` and `nested`, its blocks in `folder`/juicefs."""
    meta = f"sqlite3://{folder / 'juicefs.db'}"
    with _home() as home:
        bucket = f"{folder / 'juicefs'}/"
        _juicefs(home, "format", meta, "bench", "--storage", "file", "--bucket", bucket, "--trash-days", "0")
        command = [NEWEST / "juicefs", "mount", meta, home / "mnt", "--no-usage-report", "--log", home / "juicefs.log"]
        with _running([*command, "--cache-dir", home / "cache"], home, {}):
            for name in ("plain", "nested"):
                subprocess.run(["/usr/bin/cp", "-r", folder / name, home / "mnt" / name], check=True)
            subprocess.run(["/usr/bin/sync", "-f", home / "mnt"], check=True)


def _juicefs(home: Path, *arguments: object) -> None:
    command = [str(part) for part in (NEWEST / "juicefs", *arguments)]
    done = subprocess.run(command, env={"HOME": str(home), "PATH": os.environ["PATH"]}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"juicefs {arguments[0]}: {done.stderr.strip()[-300:]}")


@dataclass(frozen=True, slots=True)
class Httpdirfs:
    """httpdirfs with its cache, without which it is slower still. Its check for ranges does not know this nginx."""

    @contextmanager
    def mounted(self, site: Site, place: Place, set_name: str, *, is_nested: bool = False) -> Iterator[Mounted]:
        """A mount of the set's plain folder; `is_nested` as of Rclone."""
        with _home() as home:
            point = home / "mnt"
            command = ["httpdirfs", "-f", "--no-range-check", "--cache", "--cache-location", home / "cache"]
            command += ["--cacert", site.ca_bundle, site.plain_url(place, set_name, is_nested=is_nested), point]
            with _running(command, home, {}) as process:
                yield Mounted(point, home / "cache", process)


@contextmanager
def _home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="cffs-bench-home-"))
    try:
        for name in ("mnt", "cache", "config", "state", "run"):
            (home / name).mkdir(mode=0o700)
        yield home
    finally:
        if not os.path.ismount(home / "mnt"):  # otherwise removing the folder would remove what is mounted
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _running(command: list[object], home: Path, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon in the foreground, from its first answer until the block ends; unmounted whatever happens."""
    point, log = home / "mnt", home / "log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), **variables}
    environment |= {f"XDG_{kind.upper()}_HOME": str(home / kind) for kind in ("cache", "config", "state")}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,  # we handle Ctrl-C ourselves, in order
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not os.path.ismount(point):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not mount: {log.read_text(errors='replace').strip()[-500:]}")
            time.sleep(0.01)  # noqa: TID251  # no loop to block
        yield process
    finally:
        _end(process, point)


def _end(process: subprocess.Popen[bytes], point: Path) -> None:
    unmount = ["fusermount3", "-u", str(point)]
    for attempt in range(50):
        if subprocess.run(unmount, stderr=subprocess.DEVNULL).returncode == 0 or not os.path.ismount(point):
            break
        if attempt == 40:
            unmount.insert(2, "-z")
        time.sleep(0.05)  # noqa: TID251  # as above: a kernel that still closes a file
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            process.wait(STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            process.send_signal(how)
    process.wait()


def _set_read_ahead(point: Path, kib: int | None) -> None:
    """Set what the kernel reads ahead on our mount; None leaves what cffs set as root.

    That is waited for: it comes a moment after the mount, and would undo ours.
    """
    setting = Path(f"/sys/class/bdi/0:{os.minor(point.stat().st_dev)}/read_ahead_kb")
    until = time.monotonic() + START_SECONDS
    while os.geteuid() == 0 and int(setting.read_text()) <= DEFAULT_READ_AHEAD_KB:
        if time.monotonic() > until:
            raise RuntimeError(f"{setting} is not raised")
        time.sleep(0.01)  # noqa: TID251  # as above
    if kib is not None and int(setting.read_text()) != kib:
        setting.write_text(f"{kib}\n")
