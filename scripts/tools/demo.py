# ruff: noqa: T201, S603  # a script prints, and runs fixed commands
"""The tour of `scripts/demo`: a stand-in, its mount, one recording, all audio.

It owns what is printed. It must not know how the mount works: it uses the commands' own parts and plain files.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cffs.cli.demo import demo_settings, temporary_folder, what_next
from cffs.cli.launch import start_in_background
from cffs.cli.messages import Failed
from cffs.cli.mountpoint import prepare
from cffs.cli.standin import DEFAULT_CALLS, DEFAULT_SEED, running_standin
from cffs.cli.umount import umount
from cffs.core.errors import CffsError
from cffs.standin.account import Account
from cffs.standin.office_account import FOUND_PARTY, FOUND_SECONDS, office_account

AUDIO = (".m4a", ".mp3", ".wav")
#: How many entries of each folder of the tree are shown, and how deep.
SHOWN, DEPTH = 3, 3
NEXT = (
    "next: scripts/demo --stay              keeps it mounted, to look around in a file manager",
    "      .venv/bin/cffs login             takes the key and the login of your own account; then",
    "      mkdir -p ~/calls && .venv/bin/cffs mount ~/calls",
)


def main() -> int:
    """The exit status: 0 where every byte was right."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="A tour of an embedded stand-in's mount.")
    parser.add_argument("path", nargs="?", type=Path, default=Path("mnt"), help="where to mount  [./mnt]")
    parser.add_argument("--stay", action="store_true", help="leave it mounted until Ctrl-C")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever happened, the mount is taken away
    try:
        mountpoint = prepare(arguments.path, create=True)
        today = datetime.now(UTC).astimezone().date()
        account = office_account(seed=DEFAULT_SEED, calls=DEFAULT_CALLS, today=today)
        with running_standin() as standin, temporary_folder() as folder:
            start_in_background(demo_settings(standin, folder, foreground=False), mountpoint)
            try:
                status = tour(mountpoint, account)
                if arguments.stay:
                    print(f"mounted on {mountpoint} until Ctrl-C", flush=True)
                    hint(what_next(arguments.path))
                    threading.Event().wait()
            finally:
                umount(mountpoint, lazy=arguments.stay)
    except KeyboardInterrupt:
        return 0
    except (Failed, CffsError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    hint(NEXT)
    return status


def hint(lines: Iterable[str]) -> None:
    """Print a line for people; stdout ends with the summary."""
    print("\n".join(lines), file=sys.stderr, flush=True)


def tour(mountpoint: Path, account: Account) -> int:
    """Show, play and compare; print one summary line."""
    print(f"{mountpoint}/")
    for line in tree(mountpoint, "", DEPTH):
        print(line)
    found = list(audio_files(mountpoint))
    if not found:
        print("demo: the mount lists no audio file", file=sys.stderr)
        return 1
    print(f"\n{play(mountpoint)}", flush=True)
    started = time.monotonic()
    nbytes, wrong = 0, []
    for file in found:
        data = file.read_bytes()
        nbytes += len(data)
        if data != expected(account, file):
            wrong.append(file.relative_to(mountpoint))
    seconds = time.monotonic() - started
    verdict = f"{len(wrong)} DIFFER, the first: {wrong[0]}" if wrong else "all equal to the stand-in's"
    print(f"demo: {len(found)} audio files, {nbytes} bytes read in {seconds:.1f} s, {verdict}", flush=True)
    return 1 if wrong else 0


def tree(folder: Path, indent: str, depth: int) -> Iterator[str]:
    """The first entries of a folder and, to the depth, of those below."""
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries[:SHOWN] if indent else entries:
        is_folder = entry.is_dir()
        yield f"  {indent}{entry.name}{'/' if is_folder else ''}"
        if is_folder and depth > 1:
            yield from tree(Path(entry.path), indent + "  ", depth - 1)
    if indent and len(entries) > SHOWN:
        yield f"  {indent}... {len(entries) - SHOWN} more"


def audio_files(mountpoint: Path) -> Iterator[Path]:
    """Every audio file in its first place: recordings/ has those of all calls, media/ the rest."""
    for folder in ("recordings", "media"):
        yield from sorted(file for file in (mountpoint / folder).iterdir() if file.suffix in AUDIO)


def expected(account: Account, file: Path) -> bytes | None:
    """The stand-in's true bytes of the file, by the id in its path; None where it has no such object."""
    number = id_of(file)
    if file.parent.name == "media":
        path = f"/v2/media/{number}{file.suffix}"
    elif file.suffix == ".wav":
        path = f"/cloud/1/files/recording/{number}"
    else:
        path = f"/v2/calls/recordings/{number}.mp3"
    found = account.object_for(path)
    return None if found is None else found.read()


def id_of(file: Path) -> str:
    """The id in a listed name, which is the id or ends with it."""
    return file.stem.rpartition("_")[2]


def play(mountpoint: Path) -> str:
    """Decode a whole recording with a real decoder, and return one line about it. Raises Failed where it is none.

    The recording is one that a person might look for: a call with one party, of last Tuesday, half a minute long.
    """
    party = mountpoint / "by-number" / FOUND_PARTY
    found = sorted(file for file in party.iterdir() if file.suffix in AUDIO)
    file = next((file for file in found if f"_0m{FOUND_SECONDS}s_" in file.name), found[0])
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is not None:
        command = [ffmpeg, "-v", "error", "-nostdin", "-i", str(file), "-f", "s16le", "-ac", "1", "-ar", "8000", "-"]
        done = subprocess.run(command, check=False, capture_output=True)
        if done.returncode != 0 or not done.stdout:
            raise Failed(f"ffmpeg cannot play {file}: {done.stderr.decode(errors='replace').strip()}")
        digest = hashlib.sha256(done.stdout).hexdigest()[:12]
        return f"played {file.name} through ffmpeg: {len(done.stdout) / 16000:.1f} s of sound (samples {digest})"
    # Python's own reader takes WAV, which opens by its id where only MP3 is listed; one of them may be mu-law
    for candidate in (file, *found):
        wav = mountpoint / "recordings" / f"{id_of(candidate)}.wav"
        try:
            with wave.open(str(wav), "rb") as sound:
                samples = sound.readframes(sound.getnframes())
                seconds = len(samples) / sound.getsampwidth() / sound.getnchannels() / sound.getframerate()
        except wave.Error:
            continue
        digest = hashlib.sha256(samples).hexdigest()[:12]
        return f"played {candidate.name} as {wav.name} through wave: {seconds:.1f} s of sound (samples {digest})"
    raise Failed(f"no recording below {party} can be played")


if __name__ == "__main__":
    sys.exit(main())
