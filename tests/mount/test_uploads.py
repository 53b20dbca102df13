"""Media upload on a real mount, by the programs people use.

The stand-in's log is the witness of what was sent.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, Mounted, Said, account_variables, mounted, run
from tests.mount.writing import posts, spooled, stored, wav

#: The program that must be there (None: the shell alone), and its arguments: a source, the name written, its folder.
PROGRAMS = {
    "cp": (None, "cp {src} {dst}"),
    "cp -p": (None, "cp -p {src} {dst}"),
    "mv": (None, "cp {src} {src}.moved && mv {src}.moved {dst} && test ! -e {src}.moved"),
    "redirection": (None, "cat {src} > {dst}"),
    "group": (None, "{{ head -c 1000 {src}; tail -c +1001 {src}; }} > {dst}"),
    "dd": (None, "dd if={src} of={dst} bs=7777 status=none"),
    "dd backwards": (
        None,
        """exec 9<>{dst} && tail -c +50001 {src} | dd of=/dev/fd/9 bs=50000 seek=1 conv=notrunc status=none &&
        head -c 50000 {src} | dd of=/dev/fd/9 bs=50000 conv=notrunc,fsync status=none && exec 9>&-""",
    ),
    "browser": (None, ": > {dst} && cp {src} {dst}.part && mv {dst}.part {dst}"),
    "rsync": ("rsync", "rsync -a {src} {dst}"),
    "rsync --inplace": ("rsync", "rsync -a --inplace {src} {dst}"),
    "gio copy": ("gio", "gio copy {src} {dst}"),
    "ffmpeg": ("ffmpeg", "ffmpeg -loglevel error -nostdin -y -i {src} -c copy -bitexact -f wav {dst}"),
}


@dataclass(frozen=True, kw_only=True)
class Writable:
    """A writable mount, the service behind it, and its home."""

    standin: StandinThread
    home: Path
    mount: Mounted

    @property
    def media(self) -> Path:
        """The folder where files are written."""
        return self.mount.path / "media"


@pytest.fixture(scope="module")
def writable(said: Said, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writable]:
    """One mount for the tests that leave it as they found it but for what they sent."""
    home = tmp_path_factory.mktemp("writable")
    options = ("--writable", "--upload-limit", "7M", "--connections", "4")
    with StandinThread(Account(seed=11, calls=4), credentials=CANARIES) as standin:
        with mounted(said, home, account_variables(standin), *options) as mount:
            yield Writable(standin=standin, home=home, mount=mount)


def failure_of(act) -> str:
    """The name of the errno that `act()` ends with."""
    with pytest.raises(OSError) as raised:
        act()
    return errno.errorcode[raised.value.errno or 0]


def write_file(path: Path, body: bytes) -> None:
    """Open, write and close, as any program does."""
    with open(path, "wb", buffering=0) as file:
        assert file.write(body) == len(body)


def gone(path: Path, *, seconds: float = 30.0) -> bool:
    """True once the name has ceased to be; a release comes after its close."""
    deadline = time.monotonic() + seconds
    while path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def only_left(home: Path, expected: list[Path], *, seconds: float = 30.0) -> bool:
    """True once the spool holds no more than that; it is cleared after the close returned."""
    deadline = time.monotonic() + seconds
    while sorted(spooled(home)) != sorted(expected):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_each_program_sends_once(writable):
    """Whatever program writes a file, the service gets its bytes in exactly one request, named as it was written;
    then it is listed by its id and by its name, and the name written opens."""
    home, standin, media = writable.home, writable.standin, writable.media
    for number, (what, (program, command)) in enumerate(PROGRAMS.items()):
        if program is not None and shutil.which(program) is None:
            continue
        source, target = home / f"source {number}.wav", media / f"tune_{number}.wav"
        source.write_bytes(wav(number))
        before, known = len(posts(standin)), stored(standin)
        line = command.format(src=f"'{source}'", dst=f"'{target}'")
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (what, done.stderr)
        assert len(posts(standin)) == before + 1, what
        ((media_id, (name, body)),) = [item for item in stored(standin).items() if item[0] not in known]
        if what == "ffmpeg":  # it writes its own header
            assert body[-100_000:] == source.read_bytes()[-100_000:]
        else:
            assert body == source.read_bytes(), what
        assert name == f"tune_{number}"
        assert target.read_bytes() == body, what
        assert {f"{media_id}.wav", f"{media_id}.json"} <= set(os.listdir(media)), what
        assert (media / f"by-name/tune_{number}.wav").stat().st_ino == (media / f"{media_id}.wav").stat().st_ino
    assert only_left(home, [])
    assert {record.status for record in posts(standin)} == {200}


def test_what_is_never_sent(writable):
    """An open without a write, a wrong name, a wrong content, too many bytes, a change of what exists: each has its
    errno, nothing is sent, and nothing is left."""
    mount, standin, media = writable.mount, writable.standin, writable.media
    before, left = len(posts(standin)), spooled(writable.home)
    existing = next(media / name for name in os.listdir(media) if name.endswith(".wav"))
    subprocess.run(["touch", media / "touched.mp3"], check=True)
    with open(media / "opened.wav", "wb"):
        pass
    assert gone(media / "touched.mp3")
    for name in ("tune.txt", "tune", "tune.mp3x", "tune."):
        assert failure_of(lambda name=name: write_file(media / name, wav(1))) == "EINVAL", name
    assert failure_of(lambda: write_file(media / ("n" * 252 + ".wav"), wav(1))) == "ENAMETOOLONG"
    for name in ("page.mp3", "page.wav", "page.png", "page.mp4"):
        assert failure_of(lambda name=name: write_file(media / name, b"<html>no such file</html>")) == "EINVAL"
        assert gone(media / name)
    write_file(media / "page.part", b"<html>no such file</html>")
    assert failure_of(lambda: os.rename(media / "page.part", media / "page.mp3")) == "EINVAL"
    assert failure_of(lambda: os.rename(media / "page.part", media / "page.txt")) == "EINVAL"
    os.unlink(media / "page.part")
    assert failure_of(lambda: write_file(media / "large.wav", wav(1, nbytes=7_500_000))) == "EFBIG"
    assert failure_of(lambda: os.truncate(existing, 0)) == "EPERM"
    with open(media / "sync.mp3", "wb", buffering=0) as file:
        file.write(b"<html>")
        assert failure_of(lambda: os.fsync(file.fileno())) == "EINVAL"
        file.truncate(0)
    attempts = {
        lambda: os.open(existing, os.O_WRONLY): "EPERM",
        lambda: os.open(existing, os.O_RDONLY | os.O_TRUNC): "EPERM",
        lambda: os.unlink(existing): "EPERM",
        lambda: os.unlink(existing.with_suffix(".json")): "EPERM",
        lambda: os.rename(existing, media / "other.wav"): "EPERM",
        lambda: os.mkdir(media / "folder"): "EPERM",
        lambda: os.rmdir(media / "by-name"): "EPERM",
        lambda: os.symlink("x", media / "link.wav"): "EPERM",
        lambda: os.link(existing, media / "link.wav"): "EPERM",
        lambda: os.mkfifo(media / "fifo.wav"): "EPERM",
        lambda: os.setxattr(existing, "user.x", b"y"): "ENOTSUP",
        lambda: os.open(existing.with_suffix(".json"), os.O_WRONLY): "EROFS",
        lambda: os.open(mount.path / "me/account.json", os.O_WRONLY): "EROFS",
        lambda: os.open(mount.path / "new.wav", os.O_CREAT | os.O_WRONLY): "EROFS",
        lambda: os.open(media / "by-name/new.wav", os.O_CREAT | os.O_WRONLY): "EROFS",
        lambda: os.mkdir(mount.path / "recordings/new"): "EROFS",
        lambda: os.chmod(mount.path / "campaigns", 0o700): "EROFS",
    }
    for attempt, expected in attempts.items():
        assert failure_of(attempt) == expected, expected
    assert (media.stat().st_mode & 0o777, existing.stat().st_mode & 0o777) == (0o755, 0o644)
    assert (mount.path / "campaigns").stat().st_mode & 0o777 == 0o555
    assert len(posts(standin)) == before
    assert only_left(writable.home, left)


def test_what_the_service_refuses(writable):
    """Each refusal and each lost answer has its errno at close and at rename, is sent once, and leaves nothing; what
    the service has already appears."""
    refusals = [
        ("EINVAL", "refuse", {"code": 400}),
        ("EACCES", "refuse", {"code": 403, "after_nbytes": 1000}),
        ("EFBIG", "refuse", {"code": 413, "after_nbytes": 1000}),
        ("EIO", "status", {"code": 500}),
        ("EIO", "reset_request", {}),
        ("EIO", "reset_before", {}),
    ]
    mount, standin, media = writable.mount, writable.standin, writable.media
    left = spooled(writable.home)
    for number, (expected, fault, options) in enumerate(refusals):
        before = len(posts(standin))
        rule = standin.faults.add(fault, kind="createMedia", times=2, **options)
        body = wav(100 + number)
        assert failure_of(lambda body=body: write_file(media / "refused.wav", body)) == expected, (fault, options)
        assert len(posts(standin)) == before + 1, (fault, options)
        assert gone(media / "refused.wav")
        write_file(media / "refused.part", body)
        assert failure_of(lambda: os.rename(media / "refused.part", media / "refused.wav")) == expected
        assert len(posts(standin)) == before + 2
        os.unlink(media / "refused.part")
        standin.faults.remove(rule)
    assert "uncertain" in mount.log()
    told = mount.status()["uploads"]["refusals"][-1]
    assert told["name"] == "refused.wav"
    assert "uncertain" in told["reason"]
    assert f"refused refused.wav: {told['reason']}" in run(Said(), writable.home, "status", mount.path).stdout
    media_id, (_name, body) = next(iter(stored(standin).items()))
    extension = standin.account.media.extension(media_id)
    assert failure_of(lambda: write_file(media / f"again.{extension}", body)) == "EEXIST"
    assert (media / f"{media_id}.{extension}").read_bytes() == body
    assert only_left(writable.home, left)


def test_a_name_forges_no_line(writable):
    """The name of a file that the service refuses is in the log, on the line about it."""
    rule = writable.standin.faults.add("refuse", kind="createMedia", times=1, code=400)
    name, left = "a\n2026-01-01 00:00:00,000 ERROR forged\x1b[31m\x9b\x7f.wav", spooled(writable.home)
    assert failure_of(lambda: write_file(writable.media / name, wav(150))) == "EINVAL"
    writable.standin.faults.remove(rule)
    lines = writable.mount.log().split("\n")
    assert [line.isprintable() for line in lines if "forged" in line] == [True]
    assert not [line for line in lines if line.startswith("2026-01-01 00:00:00,000 ERROR forged")]
    assert only_left(writable.home, left)


def killed_while_writing(mount: Mounted, home: Path, command: str, *, nbytes: int) -> int:
    """Run the command in the shell, which copies from the pipe `fifo` of its folder into media/killed.wav and writes
    into `pid` which process does; kill that process once `nbytes` are with the mount. Returns the shell's status."""
    fifo, pid = home / "fifo", home / "pid"
    for path in (fifo, pid):
        path.unlink(missing_ok=True)
    os.mkfifo(fifo)
    ours = os.open(fifo, os.O_RDWR)
    shell = subprocess.Popen(["bash", "-c", command], cwd=home, stderr=subprocess.DEVNULL)
    try:
        os.write(ours, wav(300)[:50_000])
        deadline = time.monotonic() + 60
        while [one["bytes"] for one in mount.status()["uploads"]["active"]] != [nbytes]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(int(pid.read_text()), signal.SIGKILL)
        return shell.wait(timeout=60)
    finally:
        shell.kill()
        os.close(ours)


def test_a_killed_writer_sends_nothing(writable):
    """A copy that is killed half-way sends nothing and leaves nothing, whether the program opened the file itself or
    inherited it from a shell that lives on."""
    home, mount, standin, media = writable.home, writable.mount, writable.standin, writable.media
    sent, left = len(posts(standin)), spooled(home)
    (home / "whole.wav").write_bytes(wav(300))
    target = f"'{media}/killed.wav'"
    alone = f"echo $$ > pid; exec cp fifo {target}"
    assert killed_while_writing(mount, home, alone, nbytes=50_000) == -signal.SIGKILL
    assert gone(media / "killed.wav")
    group = f"{{ head -c 60000 whole.wav; sh -c 'echo $$ > pid; exec cat fifo'; }} > {target}"
    killed_while_writing(mount, home, group, nbytes=110_000)
    assert gone(media / "killed.wav")
    assert len(posts(standin)) == sent
    assert only_left(home, left)
    assert mount.log().count("its writer was killed") == 2
    write_file(media / "killed.wav", wav(300))
    assert len(posts(standin)) == sent + 1


def test_what_a_killed_mount_left(said, home, standin):
    """A file that a killed mount had not sent is named in one line by the next one, its bytes kept; one that had
    arrived, and files without a byte, are not; nothing is sent by itself."""
    variables = account_variables(standin)
    path = home / "mnt"
    path.mkdir()
    begun = run(said, home, "mount", "--writable", path, **variables)
    assert begun.returncode == 0, begun.stderr
    write_file(path / "media/arrived.wav", wav(1))
    half, empty = (os.open(path / f"media/{name}.wav", os.O_WRONLY | os.O_CREAT) for name in ("half", "empty"))
    os.write(half, wav(2))
    os.kill(json.loads((path / ".cffs/status.json").read_bytes())["pid"], signal.SIGKILL)
    for descriptor in (half, empty):
        assert failure_of(lambda descriptor=descriptor: os.close(descriptor)) in ("ENOTCONN", "ECONNABORTED")
    sent = len(posts(standin))
    again = run(said, home, "mount", "--writable", path, **variables)
    try:
        assert again.returncode == 0, again.stderr
        (line,) = [line for line in again.stderr.splitlines() if "half.wav" in line]
        assert "arrived" not in line
        assert "empty" not in line
        assert [file.read_bytes() for file in spooled(home)] == [wav(2)]
        assert [file.stat().st_mode & 0o777 for file in spooled(home)] == [0o600]
        assert len(posts(standin)) == sent == 1
    finally:
        assert run(said, home, "umount", path).returncode == 0


def test_a_file_that_the_service_has_not_ready(said, home):
    """A file that was just sent is read from the spool while the service calls it unavailable; once it is available,
    its own bytes are read."""
    options = Options(transcode_uploads=True, unavailable_seconds=3600)
    with StandinThread(Account(seed=11, calls=2), options=options, credentials=CANARIES) as standin:
        with mounted(said, home, account_variables(standin), "--writable") as mount:
            media = mount.path / "media"
            write_file(media / "tune.wav", wav(1))
            assert (media / "tune.wav").read_bytes() == wav(1)
            assert (media / "tune.wav").stat().st_size == len(wav(1))
            (media_id,) = [media_id for media_id, (name, _body) in stored(standin).items() if name == "tune"]
            own = stored(standin)[media_id][1]
            assert own != wav(1)
            standin.account.media.unavailable_until[media_id] = 0
            deadline = time.monotonic() + 30
            while (media / f"{media_id}.wav").read_bytes() != own:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert (media / f"{media_id}.wav").stat().st_size == len(own)
            assert only_left(home, [])


def test_several_at_once(writable):
    """Copies made at one time are each sent once and whole, while status.json shows how far they are."""
    home, mount, standin = writable.home, writable.mount, writable.standin
    before = len(posts(standin))
    rule = standin.faults.add("slow_request", kind="createMedia", nbytes=262_144, seconds=0.1)
    sources = {f"many_{number}": wav(200 + number, nbytes=6_000_000) for number in range(3)}
    for name, body in sources.items():
        (home / f"{name}.wav").write_bytes(body)
    copies = [subprocess.Popen(["cp", home / f"{name}.wav", mount.path / f"media/{name}.wav"]) for name in sources]
    seen: list[tuple[int, int]] = []
    while any(copy.poll() is None for copy in copies):
        active = mount.status()["uploads"]["active"]
        seen += [(one["sent_bytes"], one["bytes"]) for one in active if one["state"] == "sending"]
        time.sleep(0.05)
    assert [copy.wait() for copy in copies] == [0] * len(copies)
    assert any(0 < sent < whole for sent, whole in seen), seen
    standin.faults.remove(rule)
    assert len(posts(standin)) == before + len(sources)
    found = dict(stored(standin).values())
    assert {name: found[name] for name in sources} == sources


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs, which only root may; runs in mount-root")
def test_a_full_spool(said, home, standin):
    """No room for what is written is ENOSPC for the writer, and nothing of it is sent; with room again all is well."""
    cache = home / "cache"
    cache.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700,size=2m", "tmpfs", str(cache)], check=True)
    try:
        with mounted(said, home, account_variables(standin), "--writable", "--cache-size", "0") as mount:
            target = mount.path / "media/tune.wav"
            assert failure_of(lambda: write_file(target, wav(1, nbytes=4_000_000))) == "ENOSPC"
            assert gone(target)
            (home / "large.wav").write_bytes(wav(1, nbytes=4_000_000))
            done = subprocess.run(["cp", home / "large.wav", target], capture_output=True, text=True)
            assert (done.returncode, "No space left" in done.stderr) == (1, True)
            assert gone(target)
            assert only_left(home, [])  # its room is there again
            assert posts(standin) == []
            write_file(target, wav(1))
            assert len(posts(standin)) == 1
    finally:
        subprocess.run(["umount", "-l", str(cache)], check=True)


@pytest.mark.slow
def test_an_upload_that_stalls(said, home, standin):
    """A service that stops taking bytes ends the close after 30 s without progress."""
    standin.faults.add("stall_request", kind="createMedia", seconds=600)
    with mounted(said, home, account_variables(standin), "--writable") as mount:
        begun_at = time.monotonic()
        body = wav(1, nbytes=8_000_000)
        assert failure_of(lambda: write_file(mount.path / "media/tune.wav", body)) == "EIO"
        assert 25 < time.monotonic() - begun_at < 30 * 3
        assert len(posts(standin)) == 1


def test_names_that_are_no_utf8(writable):
    """A file called by bytes that are no UTF-8 is sent and found again by them; any other such name is ENOENT in every
    folder, and none is a bug."""
    name = b"caf\xe9 14.wav"
    with open(os.fsencode(writable.media) + b"/" + name, "wb", buffering=0) as file:
        file.write(wav(14))
    assert ("caf\ufffd 14", wav(14)) in stored(writable.standin).values()
    assert os.stat(os.fsencode(writable.media) + b"/" + name).st_size == len(wav(14))
    for folder in ("", "campaigns", "calls", "recordings", "media", "media/by-name", "by-number", "by-label", "search"):
        for other in (b"\xff", b"\xed\xa0\x80.mp3", b"\xe9" * 255):
            path = os.fsencode(writable.mount.path / folder) + b"/" + other
            assert failure_of(lambda path=path: os.lstat(path)) == "ENOENT"
    assert writable.mount.status()["bugs"] == 0
