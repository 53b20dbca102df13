# ruff: noqa: T201, S603, S607, TID251  # a script prints, waits, and runs fixed commands
"""What a desktop costs: a stand-in's mount in a file manager and in players.

It must not touch the user's own desktop: display, session bus and home are its own. Exit 0 where opening the folder
fetched not one byte of audio, the thumbnailer was at work (it drew one of a local picture), and every program did its
job.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from cffs.cli.demo import demo_settings, temporary_folder
from cffs.cli.launch import start_in_background
from cffs.cli.messages import Failed
from cffs.cli.mountpoint import prepare
from cffs.cli.standin import StandinChild
from cffs.cli.umount import umount
from cffs.core.errors import CffsError
from cffs.standin.account import Account
from cffs.standin.request_log import RequestRecord
from cffs.standin.thread import StandinThread

RECORDINGS = 200
#: Where it was measured, Thunar's last event came 2 s after its start, and the thumbnailer's within that time too.
SETTLE_SECONDS = 12.0
SCREEN = ("1600", "1200")
START_SECONDS = 20.0
PROGRAM_SECONDS = 60
#: Operations whose answer is audio.
AUDIO = (".mp3", ".wav", "/file")


@dataclass(frozen=True)
class Row:
    """What one program cost. `wrong` is empty where it did what it should."""

    what: str
    requests: int
    audio_requests: int
    audio_nbytes: int
    wrong: str

    def __str__(self) -> str:
        verdict = self.wrong or "ok"
        return f"{self.what:<34} {self.requests:>8} {self.audio_requests:>6} {self.audio_nbytes:>11}  {verdict}"


class Meter:
    """Counts the stand-in's requests between two readings."""

    def __init__(self, standin: StandinThread) -> None:
        self._standin = standin

    def start(self) -> None:
        """Begin to count."""
        self._standin.log.clear()

    def row(self, what: str, wrong: str = "") -> Row:
        """The count since then."""
        requests = self._standin.requests
        audio = [request for request in requests if is_audio(request)]
        return Row(what, len(requests), len(audio), sum(request.body_nbytes for request in audio), wrong)


def is_audio(request: RequestRecord) -> bool:
    """True where bytes of a recording or a media file were requested."""
    return request.path.endswith(AUDIO) or "/files/recording/" in request.path.replace("/list/", "/")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="scripts/desktop-check", description="What a desktop costs.")
    parser.add_argument("screenshot", nargs="?", type=Path, default=Path("desktop-check.png"))
    screenshot = parser.parse_args().screenshot.absolute()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rows = list(check(screenshot))
    except KeyboardInterrupt:
        return 1
    except (Failed, CffsError, OSError, subprocess.SubprocessError) as error:
        print(f"desktop-check: {error}", file=sys.stderr)
        return 1
    wrong = [row for row in rows if row.wrong]
    print(f"desktop-check: {'FAILED' if wrong else 'ok'}; screenshot in {screenshot}")
    return 1 if wrong else 0


def check(screenshot: Path) -> Iterator[Row]:
    """The rows, each printed as soon as it is known."""
    account = Account(seed=1, calls=RECORDINGS, recordings_per_call=1)
    with ExitStack() as stack:
        standin = stack.enter_context(StandinThread(account))
        folder = stack.enter_context(temporary_folder())
        home = Path(stack.enter_context(temporary_home()))
        mountpoint = prepare(home / "CallFire", create=True)
        start_in_background(demo_settings(child_of(standin), folder, foreground=False), mountpoint)
        stack.callback(umount, mountpoint, lazy=True)
        print(f"{'what':<34} {'requests':>8} {'audio':>6} {'audio bytes':>11}")
        for row in chain(
            desktop(Meter(standin), mountpoint, home, screenshot), players(Meter(standin), mountpoint, home)
        ):
            print(row, flush=True)
            yield row


@contextmanager
def temporary_home() -> Iterator[str]:
    """A temporary home, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="cffs-desktop-", ignore_cleanup_errors=True) as folder:
        yield folder


def child_of(standin: StandinThread) -> StandinChild:
    """The stand-in's variables, as the demo's settings want them."""
    credentials = standin.credentials
    return StandinChild(
        base_url=standin.base_url,
        environment={
            "CFFS_V1_URL": standin.v1_url,
            "CFFS_V2_URL": standin.v2_url,
            "CFFS_APIKEY": credentials.apikey,
            "CFFS_LOGIN": credentials.login,
            "CFFS_PASSWORD": credentials.password,
        },
    )


def desktop(meter: Meter, mountpoint: Path, home: Path, screenshot: Path) -> Iterator[Row]:
    """gio, then Thunar with tumbler on the folder of recordings, then on a local picture."""
    recordings = mountpoint / "recordings"
    meter.start()
    names = [name for name in os.listdir(recordings) if name.endswith((".mp3", ".wav"))]
    yield meter.row(f"ls of {len(names)} recordings", "" if len(names) == RECORDINGS else "not all are listed")
    meter.start()
    listed = run("gio", "list", "-l", str(recordings))
    yield meter.row("gio list -l", listed.wrong or _audio_is_wrong(meter))
    with display() as number, session_bus(number, home) as environment:
        meter.start()
        with program(["thunar", str(recordings)], environment):
            wait_for_window(environment)
            # the whole screen: the more files are visible, the more thumbnails are wanted
            run(
                "xdotool",
                "search",
                "--class",
                "thunar",
                "windowmove",
                "%@",
                "0",
                "0",
                "windowsize",
                "%@",
                *SCREEN,
                env=environment,
            )
            time.sleep(SETTLE_SECONDS)
            shot = run("import", "-window", "root", str(screenshot), env=environment)
            row = meter.row("Thunar with tumbler, 200 recordings")
        wrong = shot.wrong or ("" if row.audio_nbytes == 0 else "audio was fetched")
        yield Row(row.what, row.requests, row.audio_requests, row.audio_nbytes, wrong)
        meter.start()
        yield meter.row("control: a local picture", "" if draws_thumbnails(environment, home) else "no thumbnail drawn")


def _audio_is_wrong(meter: Meter) -> str:
    return "audio was fetched" if meter.row("").audio_nbytes else ""


def players(meter: Meter, mountpoint: Path, home: Path) -> Iterator[Row]:
    """mpv, ffplay and sox: play, and play after a seek, each on a recording that was not read before."""
    recordings = mountpoint / "recordings"
    # one after the other: a folder that is read in order has its next files prefetched
    mp3s = sorted(str(recordings / name) for name in os.listdir(recordings) if name.endswith(".mp3"))[::7]
    wavs = [name.removesuffix(".mp3") + ".wav" for name in mp3s[8:]]
    quiet = {**os.environ, "SDL_AUDIODRIVER": "dummy", "SDL_VIDEODRIVER": "dummy"}
    mpv = ["mpv", "--no-config", "--no-video", "--ao=null", "--untimed", "--really-quiet"]
    ffplay = ["ffplay", "-nodisp", "-autoexit", "-loglevel", "error", "-t", "1"]
    for what, command in (
        ("mpv plays an mp3", [*mpv, mp3s[0]]),
        ("mpv seeks in an mp3", [*mpv, "--start=50%", "--length=1", mp3s[1]]),
        ("mpv seeks in a wav", [*mpv, "--start=50%", "--length=1", wavs[0]]),
        ("ffplay plays an mp3", [*ffplay, mp3s[2]]),
        ("ffplay seeks in a wav", [*ffplay, "-ss", "2", wavs[1]]),
        ("sox reads a wav", ["sox", wavs[2], "-n", "stat"]),
        ("sox trims an mp3", ["sox", mp3s[3], "-n", "trim", "1", "1", "stat"]),
        ("soxi -D of a wav", ["soxi", "-D", wavs[3]]),
        ("ffprobe of an mp3", ["ffprobe", "-v", "error", "-show_entries", "format=duration", mp3s[4]]),
        ("gio copy of an mp3", ["gio", "copy", mp3s[5], str(home / "copy.mp3")]),
    ):
        meter.start()
        done = run(*command, env=quiet)
        yield meter.row(what, done.wrong)


@dataclass(frozen=True)
class Done:
    """A program's end; `wrong` is one line."""

    wrong: str


def run(*command: str, env: dict[str, str] | None = None) -> Done:
    """Run a program to its end."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROGRAM_SECONDS, env=env
        )
    except FileNotFoundError:
        return Done(f"{command[0]} is not installed")
    except subprocess.TimeoutExpired:
        return Done(f"took more than {PROGRAM_SECONDS} s")
    if done.returncode == 0:
        return Done("")
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return Done(f"exit {done.returncode}: {last}")


@contextmanager
def program(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Run a program during the block, and end it by its pid."""
    child = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def display() -> Iterator[str]:
    """A virtual display of its own; its number."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", f"{'x'.join(SCREEN)}x24", "-nolisten", "tcp"],
        pass_fds=(writer,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise Failed("Xvfb did not start")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def session_bus(number: str, home: Path) -> Iterator[dict[str, str]]:
    """A session of its own (bus, home, folders), ended with everything that it started."""
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DISPLAY": number,
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CURRENT_DESKTOP": "XFCE",
        "NO_AT_BRIDGE": "1",
        "LANG": "C.UTF-8",
    }
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address=1"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        if bus.stdout is None:
            raise AssertionError("Popen was asked for a pipe")
        address = bus.stdout.readline().strip()
        if not address:
            raise Failed("dbus-daemon did not start")
        yield environment | {"DBUS_SESSION_BUS_ADDRESS": address}
    finally:
        # what the bus started (tumblerd, xfconfd) is in its process group, which is ours alone
        os.killpg(bus.pid, signal.SIGTERM)
        bus.wait()
        if bus.stdout is not None:
            bus.stdout.close()


def wait_for_window(environment: dict[str, str]) -> None:
    """Wait until something is on the screen."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        done = subprocess.run(
            ["import", "-window", "root", "-resize", "1x1!", "txt:-"], env=environment, capture_output=True, text=True
        )
        if done.returncode == 0 and "#000000" not in done.stdout:
            return
        time.sleep(0.5)
    raise Failed("Thunar showed no window")


def draws_thumbnails(environment: dict[str, str], home: Path) -> bool:
    """True where the thumbnailer of this session works at all: it is shown a picture on the local disk."""
    pictures = home / "Pictures"
    pictures.mkdir()
    run("convert", "-size", "640x480", "plasma:red-blue", str(pictures / "picture.jpg"))
    drawn = home / ".cache/thumbnails"
    before = set(drawn.rglob("*.png"))
    with program(["thunar", str(pictures)], environment):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if set(drawn.rglob("*.png")) - before:
                return True
            time.sleep(0.5)
    return False


if __name__ == "__main__":
    if shutil.which("Xvfb") is None:
        print("desktop-check: run scripts/desktop-check, which installs what this needs", file=sys.stderr)
        sys.exit(1)
    sys.exit(main())
