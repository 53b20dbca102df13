"""The search for canaries finds them in every channel and in every form.

A search that could not would prove nothing.
"""

import base64
import errno
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from cffs.standin.thread import StandinThread
from tests import canary
from tests.canary import CANARIES, Evidence

SECRET = CANARIES.password or ""
FORMS = {
    "raw": SECRET,
    "percent-encoded": quote(SECRET, safe=""),
    "percent-encoded throughout": "".join(f"%{byte:02X}" for byte in SECRET.encode()),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 of login and password": base64.b64encode(f"{CANARIES.login}:{SECRET}".encode()).decode(),
    "base64 one byte on": base64.b64encode(f"x{SECRET}".encode()).decode(),
    "base64url two bytes on": base64.urlsafe_b64encode(f"xy{SECRET}".encode()).decode(),
    "hexadecimal": SECRET.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found(form):
    """A canary is found anywhere in a text, and in bytes around it that are no text."""
    for text in (FORMS[form], f"GET /x?apikey={FORMS[form]}&y=1"):
        assert canary.shows(text)
        assert canary.shows(b"\0\xff" + text.encode() + b"\xfe")
    assert canary.shows("a canary sings, CANARIES too") is None
    assert canary.shows(base64.b64encode(b"nothing of that kind, whatever its length")) is None


def planted_output(channel: str, word: str, evidence: Evidence, _folder: Path) -> None:
    program = f"import sys; print(sys.argv[1], file=sys.{channel})"
    done = subprocess.run([sys.executable, "-c", program, word], capture_output=True, check=True, timeout=30)
    evidence.add(channel, done.stdout if channel == "stdout" else done.stderr)


def planted_file(kind: str, word: str, evidence: Evidence, folder: Path) -> None:
    place = folder / kind / "below" / "deeper"
    place.mkdir(parents=True)
    (place / "clean").write_text("nothing")
    (place / "block").write_bytes(b"\0" * 200_000 + word.encode() + b"\0" * 10)
    evidence.add_files(kind, folder / kind)


def planted_name(word: str, evidence: Evidence, folder: Path) -> None:
    (folder / "tree" / "below" / ".cffs").mkdir(parents=True)
    (folder / "tree" / ".cffs").mkdir()
    (folder / "tree" / "below" / word.replace("/", "_")).write_text("")
    evidence.add_tree(folder / "tree")


def planted_own_file(word: str, evidence: Evidence, folder: Path) -> None:
    (folder / ".cffs").mkdir()
    (folder / ".cffs" / "status.json").write_text(word)
    evidence.add_own_files(folder / ".cffs")


def planted_attribute(word: str, evidence: Evidence, folder: Path) -> None:
    for place in (folder, Path("/dev/shm")):  # which of them takes attributes depends on the machine
        tree = place / f"canary-{os.getpid()}"
        (tree / ".cffs").mkdir(parents=True)
        path = tree / "file"
        path.write_text("")
        try:
            os.setxattr(path, "user.origin", word.encode())
            evidence.add_tree(tree)
            return
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
        finally:
            path.unlink()
            (tree / ".cffs").rmdir()
            tree.rmdir()
    raise AssertionError("no file system here takes extended attributes")


def planted_process(word: str, evidence: Evidence, _folder: Path) -> None:
    program = "print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, word], **pipes) as child:
        try:
            child.stdout.readline()  # before it runs, its command line is not there yet
            evidence.add_process(child.pid)
        finally:
            child.kill()


def planted_mount_table(word: str, evidence: Evidence, folder: Path) -> None:
    (folder / "mountinfo").write_text(f"67 66 0:99 / /mnt ro,nosuid - fuse.cffs callfire:{word} ro\n")
    evidence.add_mount_table(folder / "mountinfo")


def planted_control(word: str, evidence: Evidence, folder: Path) -> None:
    path = folder / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def answer() -> None:
            with listening.accept()[0] as client:
                client.recv(1000)
                client.sendall(
                    b'{"version":1,"progress":1}\n{"version":1,"ok":true,"result":"' + word.encode() + b'"}\n'
                )

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        evidence.add_control(path, ["status"])
        thread.join(10)


def planted_request(word: str, evidence: Evidence, _folder: Path) -> None:
    with StandinThread() as other:
        told = {"X-Forwarded": quote(word, safe="%+/=:@")}
        asked = urllib.request.Request(f"{other.base_url}/signed", headers=told)  # noqa: S310 - the stand-in on loopback
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(asked, timeout=10)  # noqa: S310 - the stand-in on loopback
        evidence.add_requests(other.requests)


def channels() -> Iterator[tuple[str, Callable[[str, Evidence, Path], None]]]:
    for name in ("stdout", "stderr"):
        yield name, lambda word, evidence, folder, name=name: planted_output(name, word, evidence, folder)
    for name in ("log", "cache", "state", "config", "spool"):
        yield name, lambda word, evidence, folder, name=name: planted_file(name, word, evidence, folder)
    yield "names", planted_name
    yield "xattrs", planted_attribute
    yield "own files", planted_own_file
    yield "process", planted_process
    yield "mount table", planted_mount_table
    yield "control socket", planted_control
    yield "another host", planted_request


@pytest.mark.shows_canaries("plants them")
@pytest.mark.parametrize("channel", [name for name, _ in channels()])
def test_every_channel_is_searched(channel, tmp_path):
    """A canary that was planted is found where it was planted; with none planted, nothing is found."""
    plant = dict(channels())[channel]
    folder = tmp_path / canary.RIGHT_ORIGIN  # without it the session's own search would find the canary, as it should
    for number, form in enumerate(("raw", "percent-encoded", "base64 of login and password")):
        evidence = Evidence()
        place = folder / f"{number}"
        place.mkdir(parents=True)
        plant(FORMS[form], evidence, place)
        assert [found.partition(":")[0] for found in evidence.found()] == [channel], form
    evidence = Evidence()
    place = folder / "clean"
    place.mkdir()
    plant("harmless", evidence, place)
    assert evidence.pieces[channel]
    assert evidence.found() == []


def test_credentials_may_lie_where_they_belong(tmp_path):
    """The config file, a file that a `…_file` option names, and the right origin's side are no leaks; a log beside them
    is one."""
    (tmp_path / "config" / "cffs").mkdir(parents=True)
    (tmp_path / "config" / "cffs" / "config.toml").write_text(SECRET)
    (tmp_path / "key.secret").write_text(SECRET)
    (tmp_path / canary.RIGHT_ORIGIN).mkdir()
    (tmp_path / canary.RIGHT_ORIGIN / "access.log").write_text(SECRET)
    assert canary.in_folder(tmp_path) == []
    log = tmp_path / "config" / "config.toml.log"
    log.write_text(SECRET)
    assert len(canary.in_folder(tmp_path)) == 1
    log.unlink()  # the session's own search runs as well


@pytest.mark.parametrize("where", ["print", "log", "stderr"])
def test_a_test_that_shows_a_canary_fails(pytester_folder, where):
    """What a test prints or logs, at the most verbose level too, is searched, and so is what it leaves behind."""
    say = {
        "print": f"print({SECRET!r})",
        "stderr": f"import sys; print({SECRET!r}, file=sys.stderr)",
        "log": f"import logging; logging.getLogger('somebody').debug('key=%s', {SECRET!r})",
    }[where]
    done = pytester_folder(f"def test_it():\n    {say}\n")
    assert done.returncode == 1
    assert "a credential shows in Captured" in done.stdout


def test_a_test_that_leaves_a_canary_fails(pytester_folder):
    """A canary in a file, at the session's end."""
    done = pytester_folder(f"def test_it(tmp_path):\n    (tmp_path / 'left').write_text({SECRET!r})\n")
    assert done.returncode == 1
    assert "1 passed, 1 error" in done.stdout


@pytest.fixture
def pytester_folder(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """A session of pytest over one test, under the repository's own search."""
    root = Path(__file__).parents[2]

    def run(text: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / canary.RIGHT_ORIGIN
        folder.mkdir()
        (folder / "test_one.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", str(root)]
        command += ["-c", str(root / "pyproject.toml"), "--rootdir", str(root), "-p", "tests.conftest"]
        command += ["--basetemp", str(folder / "tmp"), str(folder / "test_one.py")]
        return subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(root)}
        )

    return run
