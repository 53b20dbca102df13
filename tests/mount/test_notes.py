"""Notes beside recordings, as programs write and read them through the kernel."""

import errno
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mount.mounting import account_variables, is_gone, mounted, run, until


@contextmanager
def with_notes(said, home, standin, *options):
    """A mount with notes in home/notes, its folders listed; and a recording as its day shows it."""
    with mounted(said, home, account_variables(standin), "--notes", str(home / "notes"), *options) as mount:
        os.listdir(mount.path / "recordings")
        (day, *_more) = sorted(mount.path.glob("by-date/*/*/*"))
        recording = next(day.glob("*.mp3"))
        yield mount, recording


def id_of(recording: Path) -> str:
    return recording.stem.rpartition("_")[2]


def sh(text: str, *arguments: object) -> str:
    done = subprocess.run(["sh", "-ec", text, "sh", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_any_way_of_writing(said, home, standin):
    """Redirections, appending, cp -p, rsync, sed -i, a temporary name that is renamed, truncation: each leaves what it
    leaves on any disk, costs no request, and shows beside the recording wherever that is shown."""
    with with_notes(said, home, standin) as (mount, recording):
        stem, ident = recording.with_suffix(""), id_of(recording)
        before = len(standin.log.snapshot())
        shown = sh(
            """
            echo one > "$1.txt"; echo two >> "$1.txt"
            cp -p "$1.txt" "$1.md"
            rsync -a "$1.txt" "$1.vtt"
            sed -i s/two/three/ "$1.vtt"
            echo new > "$1.srt.tmp"; mv "$1.srt.tmp" "$1.srt"
            mv "$1.md" "$1.md~"; echo kept > "$1.md"; rm "$1.md~"
            echo long > "$1.tsv"; truncate -s 2 "$1.tsv"
            (echo a; echo b) > "$1.lrc"
            cat "$1.txt" "$1.vtt" "$1.srt" "$1.md" "$1.tsv" "$1.lrc"
            """,
            stem,
        )
        assert shown == "one\ntwo\none\nthree\nnew\nkept\nloa\nb\n"
        assert len(standin.log.snapshot()) == before
        here = [name for name in os.listdir(recording.parent) if ident in name]
        suffixes = ["lrc", "md", "mp3", "srt", "tsv", "txt", "vtt"]
        assert sorted(name.rpartition(".")[2] for name in here) == suffixes
        there = mount.path / "recordings"
        assert sorted(name for name in os.listdir(there) if ident in name) == [
            f"{ident}.{suffix}" for suffix in suffixes
        ]
        assert (there / f"{ident}.srt").read_text() == "new\n"
        assert (there / f"{ident}.srt").stat().st_ino == recording.with_suffix(".srt").stat().st_ino
        (file,) = (home / "notes").glob(f"*/{ident}/{ident}.txt")
        assert (file.read_text(), file.stat().st_mode & 0o777) == ("one\ntwo\n", 0o600)
        assert (file.parent.stat().st_mode & 0o777, (home / "notes").stat().st_mode & 0o777) == (0o700, 0o700)


def test_what_is_no_note(said, home, standin):
    """Everything but notes is as read-only as without --notes; a name of no recording is EINVAL, a note that is too
    large EFBIG, another recording's name EINVAL."""
    with with_notes(said, home, standin) as (mount, recording):
        ident = id_of(recording)
        for path, expected in (
            (recording.parent / "other.txt", errno.EINVAL),
            (recording.parent / "other.mp3", errno.EINVAL),
            (mount.path / "recordings/1.txt", errno.EINVAL),
            (mount.path / f"recordings/{ident}.json", errno.EROFS),
            (recording, errno.EROFS),
            (mount.path / "media/a.txt", errno.EROFS),
            (mount.path / "a.txt", errno.EROFS),
            (mount.path / "calls/a.txt", errno.EROFS),
        ):
            with pytest.raises(OSError) as refused:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
            assert refused.value.errno == expected, path
        for act in (lambda: (recording.parent / "x").mkdir(), recording.unlink, (mount.path / "me/x").mkdir):
            with pytest.raises(OSError) as refused:
                act()
            assert refused.value.errno == errno.EROFS
        note = recording.with_suffix(".txt")
        with note.open("wb") as file, pytest.raises(OSError) as refused:
            os.pwrite(file.fileno(), b"x", 1 << 30)
        assert refused.value.errno == errno.EFBIG
        other = next(path for path in mount.path.glob("by-date/*/*/*/*.mp3") if id_of(path) != ident)
        shutil.copy(note, other.with_suffix(".md")) if other.parent == note.parent else None
        with pytest.raises(OSError) as refused:
            os.rename(note, other.with_suffix(".txt"))
        assert refused.value.errno in (errno.EINVAL, errno.EPERM)
        assert note.exists()


def test_notes_outlive_the_mount(said, home, standin):
    """A note is there after kill -9 and a remount, also where the recording has left; what was being written is the
    old note, whole."""
    with with_notes(said, home, standin) as (mount, recording):
        note, ident = recording.with_suffix(".srt"), id_of(recording)
        note.write_text("old words")
        descriptor = os.open(note, os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, b"half of the new")
        os.kill(mount.pid, signal.SIGKILL)
        until(lambda: is_gone(mount.pid))
        with pytest.raises(OSError):
            os.close(descriptor)
        standin.account.delete_recording(int(ident))
        options = ("--notes", home / "notes", "--log-file", home / "log")
        done = run(said, home, "mount", *options, mount.path, **account_variables(standin))
        assert done.returncode == 0, done.stderr
        assert (mount.path / f"recordings/{ident}.srt").read_text() == "old words"


def test_two_mounts_share_a_folder(said, home, standin, tmp_path):
    """Mounts of one account see each other's notes within a second; another account's are apart."""
    other_home = tmp_path / "other"
    other_home.mkdir()
    with with_notes(said, home, standin) as (_mount, recording):
        variables = account_variables(standin)
        with mounted(said, other_home, variables, "--notes", str(home / "notes")) as other:
            os.listdir(other.path / "recordings")
            recording.with_suffix(".txt").write_text("from here")
            there = other.path / f"recordings/{id_of(recording)}.txt"
            until(there.exists)
            assert there.read_text() == "from here"
            there.write_text("from there")
            until(lambda: recording.with_suffix(".txt").read_text() == "from there")
            here = recording.with_suffix(".srt")
            assert not here.exists()
            there.with_suffix(".srt").write_text("from there")
            with pytest.raises(FileExistsError):
                here.open("x")


def test_a_full_disk(said, home, standin, tmp_path):
    """ENOSPC, and the old note is whole. EROFS once the disk is read-only."""
    if os.geteuid() != 0:
        pytest.skip("mounts a tmpfs, which only root may; runs in mount-root")
    small = tmp_path / "small"
    small.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M,mode=0700", "tmpfs", small], check=True)
    try:
        with mounted(said, home, account_variables(standin), "--notes", str(small)) as mount:
            os.listdir(mount.path / "recordings")
            note = next(mount.path.glob("recordings/*.mp3")).with_suffix(".txt")
            note.write_text("old words")
            with pytest.raises(OSError) as refused, note.open("wb", buffering=0) as file:
                for _piece in range(40):
                    file.write(bytes(65_536))
            assert refused.value.errno == errno.ENOSPC
            assert note.read_text() == "old words"
            note.write_text("new words")
            assert note.read_text() == "new words"
            subprocess.run(["mount", "-o", "remount,ro", small], check=True)
            for change in (note.unlink, lambda: note.write_text("x"), note.with_suffix(".srt").touch):
                with pytest.raises(OSError) as refused:
                    change()
                assert refused.value.errno == errno.EROFS
            assert note.read_text() == "new words"
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_folder_that_cannot_be_used(said, home, standin):
    """A folder that others can read is refused in one line."""
    folder = home / "open"
    folder.mkdir(mode=0o755)
    (folder / "a").touch()
    (home / "mnt").mkdir()
    done = run(said, home, "mount", "--notes", folder, home / "mnt", **account_variables(standin))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(folder) in done.stderr
