# ruff: noqa: T201, S603  # a script prints, and runs fixed commands
"""The test groups of `scripts/test`, side by side, and a table of what they took.

It owns the list of groups and the ordinary user that the mount tests run as a second time. It must not know tests.

Mount tests read CFFS_TEST_IDENTITY (`root` or `user`), the identity that they run as; HOME and the XDG folders are that
identity's own, empty, and removed afterwards. CFFS_TEST_EXPLORE is set by --all: examples are drawn afresh, not as at
the last run. CFFS_TEST_SERVER, which names another Redis server than Debian's, is passed on. No other CFFS_ variable
reaches a test.
"""

import argparse
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
FUSE = Path("/dev/fuse")
USER = "cffs-test"
#: Where the checkout is shown to the ordinary user if it lies where that user cannot go (/root, say).
VISIBLE = Path("/run/cffs-test-checkout")
#: A table of mounts begins as a copy, and a copied mount is served until the group ends: its owner's `cffs umount`
#: would find a daemon that does not end.
_LET_GO = 'umount --all --lazy --internal-only --types fuse.cffs; exec "$@"'
#: `cffs status` without a mount point asks every mount it sees, so each group sees its own only, and what a failing
#: test leaves mounted is gone with it. An ordinary user cannot have that.
OWN_MOUNT_TABLE = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _LET_GO, "sh"]
#: A group that hangs must not cost the whole run.
LONGEST_GROUP_SECONDS = 900
#: How long a group that is interrupted may take to end.
GRACE_SECONDS = 30
RUNNING: "set[subprocess.Popen[bytes]]" = set()
INTERRUPTED = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Some folders of tests, the seconds they may take on two cores, and the identity that they run as."""

    name: str
    budget_seconds: int
    paths: tuple[str, ...]
    identity: str = "any"


#: How many run side by side: one more than the two cores that CI has, for a mount's test waits a third of its time.
LANES = 3
#: In the order in which a free lane takes the next: the longest first, so that all lanes end at about one time.
GROUPS = (
    Group(name="mount-root", budget_seconds=400, paths=("tests/mount",), identity="root"),
    Group(name="mount-user", budget_seconds=340, paths=("tests/mount",), identity="user"),
    Group(name="callfire", budget_seconds=180, paths=("tests/callfire",)),
    Group(name="faults", budget_seconds=180, paths=("tests/faults",)),
    Group(
        name="data",
        budget_seconds=120,
        paths=("tests/cache", "tests/reader", "tests/writer", "tests/notes", "tests/catalog", "tests/tree"),
    ),
    Group(name="fuse", budget_seconds=90, paths=("tests/fuse",)),
    Group(name="cli", budget_seconds=90, paths=("tests/cli", "tests/daemon")),
    Group(name="shared", budget_seconds=90, paths=("tests/shared",)),
    Group(name="package", budget_seconds=60, paths=("tests/package",), identity="root"),
    Group(name="standin", budget_seconds=40, paths=("tests/standin",)),
    Group(name="speed", budget_seconds=40, paths=("tests/speed",)),
    Group(name="fsspec", budget_seconds=60, paths=("tests/fsspec_plugin",)),
    Group(name="core", budget_seconds=30, paths=("tests/core",)),
)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The outcome of a group."""

    name: str
    budget_seconds: int
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    note: str = ""


def main() -> int:
    """The exit status: 0 when everything passed."""
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("--all", action="store_true", help="also the tests marked slow")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(group.name for group in GROUPS))
    arguments = parser.parse_args()
    unknown = set(arguments.groups) - {group.name for group in GROUPS}
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}")
    if not FUSE.exists():
        print("scripts/test: there is no /dev/fuse here, so no mount can be tested; load the module: modprobe fuse")
        return 1
    outcomes = [] if arguments.groups else [check()]
    wanted = [group for group in GROUPS if not arguments.groups or group.name in arguments.groups]
    with ThreadPoolExecutor(LANES) as lanes:
        runs = [lanes.submit(run_group_if_possible, group, slow=arguments.all) for group in wanted]
        try:
            outcomes += [outcome for run in runs if (outcome := run.result()) is not None]
        except KeyboardInterrupt:
            INTERRUPTED.set()
            for child in list(RUNNING):
                child.send_signal(signal.SIGINT)
            raise
    return summary(outcomes)


def run_group_if_possible(group: Group, *, slow: bool) -> Outcome | None:
    """Run the group, unless the run was interrupted or the group needs root and has it not."""
    if INTERRUPTED.is_set():
        return None
    if group.identity == "root" and os.geteuid() != 0:
        print(f"\n== {group.name}: NOT RUN, this needs root; the same tests run as this user", flush=True)
        return None
    return run_group(group, slow=slow)


def check() -> Outcome:
    """The linters, as a row of their own."""
    started = time.monotonic()
    status = subprocess.run([ROOT / "scripts/check"], check=False).returncode
    seconds = time.monotonic() - started
    failed = int(status != 0)
    return Outcome(name="check", budget_seconds=30, seconds=seconds, passed=1 - failed, failed=failed)


def run_group(group: Group, *, slow: bool) -> Outcome:
    """Run pytest over the group; finding no test at all is a failure."""
    outcome = Outcome(name=group.name, budget_seconds=group.budget_seconds)
    identity = group.identity if group.identity != "any" else ("root" if os.geteuid() == 0 else "user")
    switch = group.identity == "user" and os.geteuid() == 0
    started = time.monotonic()
    with home(USER if switch else None) as folder:
        report = folder / "report.xml"
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(folder / "tmp")]
        pytest += ["--junitxml", str(report), *([] if slow else ["-m", "not slow"]), *group.paths]
        environment = clean_environment(folder, identity) | ({"CFFS_TEST_EXPLORE": "1"} if slow else {})
        root = ROOT
        prefix = OWN_MOUNT_TABLE if os.geteuid() == 0 else []
        if switch:
            root, become = as_user(environment)
            prefix = [*prefix, *become]
        command = [*prefix, str(root / ".venv/bin/python"), *pytest]
        # it interrupts the whole group of processes, so that pytest unmounts and prints what has failed so far
        limit = LONGEST_GROUP_SECONDS * (3 if slow else 1)
        command = ["timeout", "--signal=INT", f"--kill-after={GRACE_SECONDS}", str(limit), *command]
        output = folder / "output.txt"
        with output.open("wb") as stream:
            status = run_to_its_end(command, environment=environment, stream=stream)
        if status in (124, 128 + signal.SIGKILL, -signal.SIGKILL):
            outcome.note = "ended: took too long"
        # in one piece, so that two groups side by side can be read
        print(f"\n== {group.name}\n{output.read_text(errors='replace')}", end="", flush=True)
        count(report, outcome)
    outcome.seconds = time.monotonic() - started
    if status == 5:
        outcome.note = "no tests found"
    if status != 0 and not outcome.failed:
        outcome.failed, outcome.note = 1, outcome.note or f"pytest ended with status {status}"
    return outcome


def run_to_its_end(command: list[str], *, environment: dict[str, str], stream: IO[bytes]) -> int:
    """The exit status of a command that Ctrl-C ends, although it is in a process group of its own."""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=stream) as child:
        RUNNING.add(child)
        try:
            return child.wait()
        finally:
            RUNNING.discard(child)


@contextmanager
def home(user: str | None) -> Iterator[Path]:
    """A home with its XDG folders, owned by the user, gone afterwards."""
    if user is not None:
        make_user(user)
    folder = Path(tempfile.mkdtemp(prefix="cffs-tests-"))
    try:
        for name in ("cache", "config", "state", "data", "run"):
            (folder / name).mkdir(mode=0o700)
        if user is not None:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, user, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clean_environment(folder: Path, identity: str) -> dict[str, str]:
    """This environment without CFFS_ variables, with a home of its own."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name == "CFFS_TEST_SERVER" or not name.startswith(("CFFS_", "XDG_"))
    }
    places = {f"XDG_{name.upper()}_HOME": str(folder / name) for name in ("cache", "config", "state", "data")}
    own = {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "CFFS_TEST_IDENTITY": identity,
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{ROOT / '.venv/bin'}:{environment.get('PATH', os.defpath)}",
    }
    return environment | places | own


def make_user(name: str) -> None:
    """Make sure that the ordinary user exists and may open /dev/fuse, as Debian's udev rule lets all users."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/sh", name]
        subprocess.run(command, check=True)
    if FUSE.stat().st_mode & 0o006 != 0o006:
        print("scripts/test: /dev/fuse is closed to users; opening it as udev does (chmod 666)", flush=True)
        FUSE.chmod(0o666)


def as_user(environment: dict[str, str]) -> tuple[Path, list[str]]:
    """Where the user finds the checkout, and the command that becomes the user.

    A checkout where the user cannot go is shown elsewhere, in a mount table of the test run's own.
    """
    become = ["runuser", "-u", USER, "--"]
    python = str(ROOT / ".venv/bin/python")
    if subprocess.run([*become, python, "-c", ""], check=False, capture_output=True).returncode == 0:
        return ROOT, become
    VISIBLE.mkdir(exist_ok=True)
    environment["PYTHONPATH"] = str(VISIBLE)
    environment["PATH"] = f"{VISIBLE / '.venv/bin'}:{environment['PATH']}"
    show = 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec "$@"'
    return VISIBLE, ["unshare", "--mount", "sh", "-c", show, "sh", str(ROOT), str(VISIBLE), *become]


def count(report: Path, outcome: Outcome) -> None:
    """Add up pytest's own report."""
    try:
        suites = ElementTree.parse(report).getroot().iter("testsuite")  # noqa: S314  # pytest's own file
        for suite in suites:
            number = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
            bad = number["failures"] + number["errors"]
            outcome.failed += bad
            outcome.skipped += number["skipped"]
            outcome.passed += number["tests"] - bad - number["skipped"]
    except (OSError, ElementTree.ParseError):
        return  # pytest did not come that far; its exit status counts


def summary(outcomes: list[Outcome]) -> int:
    """Print the table and, as the last line, the sums."""
    print(f"\n{'group':<12}{'seconds':>9}{'budget':>8}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for row in outcomes:
        late = "over budget" if row.seconds > row.budget_seconds else ""
        numbers = f"{row.seconds:>9.1f}{row.budget_seconds:>8}{row.passed:>8}{row.failed:>8}{row.skipped:>9}"
        print(f"{row.name:<12}{numbers}  {row.note or late}".rstrip())
    passed, failed = sum(row.passed for row in outcomes), sum(row.failed for row in outcomes)
    print(f"{'all':<12}{sum(row.seconds for row in outcomes):>9.1f}{sum(row.budget_seconds for row in outcomes):>8}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
