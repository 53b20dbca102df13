# ruff: noqa: T201, S603  # a script prints, and runs fixed commands
"""The tour of `scripts/demo`: mounts a stand-in, shows the tree, plays one recording, compares all audio, unmounts.

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
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from cffs.cli.demo import demo_settings, temporary_folder
from cffs.cli.launch import start_in_background
from cffs.cli.messages import Failed
from cffs.cli.mountpoint import prepare
from cffs.cli.standin import DEFAULT_CALLS, DEFAULT_SEED, running_standin
from cffs.cli.umount import umount
from cffs.core.errors import CffsError
from cffs.core.names import decode_name
from cffs.standin.account import Account

AUDIO = (".m4a", ".mp3", ".wav")
#: What is shown of each folder of the tree, and how deep.
SHOWN, DEPTH = 3, 3


def main() -> int:
    """The exit status: 0 when every byte was right."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="A tour of an embedded stand-in's mount.")
    parser.add_argument("path", nargs="?", type=Path, default=Path("mnt"), help="where to mount  [./mnt]")
    parser.add_argument("--stay", action="store_true", help="leave it mounted until Ctrl-C")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the mount goes either way
    try:
        mountpoint = prepare(arguments.path, create=True)
        with running_standin() as standin, temporary_folder() as folder:
            start_in_background(demo_settings(standin, folder, foreground=False), mountpoint)
            try:
                status = tour(mountpoint)
                if arguments.stay:
                    print(f"mounted on {mountpoint} until Ctrl-C", flush=True)
                    threading.Event().wait()
            finally:
                umount(mountpoint, lazy=arguments.stay)
    except KeyboardInterrupt:
        return 0
    except (Failed, CffsError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return status


def tour(mountpoint: Path) -> int:
    """Shows, plays, compares; prints one summary line."""
    print(f"{mountpoint}/")
    for line in tree(mountpoint, "", DEPTH):
        print(line)
    found = list(audio_files(mountpoint))
    if not found:
        print("demo: the mount lists no audio file", file=sys.stderr)
        return 1
    print(f"\n{play(found[0])}", flush=True)
    started = time.monotonic()
    account = Account(seed=DEFAULT_SEED, calls=DEFAULT_CALLS)
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
    """Every audio file in its first place: calls lie in campaigns/{campaign}/{call}/ or, without one, calls/{call}/."""
    calls = sorted(mountpoint.glob("campaigns/*/*/"))
    known = {folder.name for folder in calls}
    calls += [folder for folder in sorted(mountpoint.glob("calls/*/")) if folder.name not in known]
    for folder in calls:
        yield from sorted(file for file in folder.iterdir() if file.suffix in AUDIO)
    yield from sorted(file for file in mountpoint.glob("media/*") if file.suffix in AUDIO)


def expected(account: Account, file: Path) -> bytes | None:
    """The stand-in's true bytes of the file, told from its path in the mount; None where it has no such object."""
    name = quote(decode_name(file.stem), safe="")
    if file.parent.name == "media":
        path = f"/v2/media/{file.name}"
    elif file.suffix == ".wav":
        path = f"/cloud/1/files/recording/{file.stem}"
    else:
        path = f"/v2/calls/{file.parent.name}/recordings/{name}.mp3"
    found = account.object_for(path)
    return None if found is None else found.read()


def play(file: Path) -> str:
    """Decodes a whole recording with a real decoder; one line that says what it was. Raises Failed if it is none."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is not None:
        command = [ffmpeg, "-v", "error", "-nostdin", "-i", str(file), "-f", "s16le", "-ac", "1", "-ar", "8000", "-"]
        done = subprocess.run(command, check=False, capture_output=True)
        if done.returncode != 0 or not done.stdout:
            raise Failed(f"ffmpeg cannot play {file}: {done.stderr.decode(errors='replace').strip()}")
        digest = hashlib.sha256(done.stdout).hexdigest()[:12]
        return f"played {file.name} through ffmpeg: {len(done.stdout) / 16000:.1f} s of sound (samples {digest})"
    # no ffmpeg: the wav form opens by lookup even where only mp3 is listed; recordings/ has it under its id
    for candidate in (file.with_suffix(".wav"), *sorted(file.parent.glob("*.wav"))):
        try:
            with wave.open(str(candidate), "rb") as sound:
                sound.readframes(sound.getnframes())
                return (
                    f"played {candidate.name} through wave: {sound.getnframes() / sound.getframerate():.1f} s of sound"
                )
        except (OSError, wave.Error, EOFError):
            continue
    return "nothing here plays mp3; install ffmpeg"


if __name__ == "__main__":
    sys.exit(main())
