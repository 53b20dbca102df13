"""Credentials and caller ids on the real mount, as people use them.

The service's log is the witness.
"""

import errno
import json
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.mount.mounting import WATCHDOG_SECONDS, account_variables, mounted

NUMBER = "12135551122"
CREDENTIALS = "me/api/credentials"


@contextmanager
def refused(number: int) -> Iterator[None]:
    """The block must fail with exactly this errno."""
    with pytest.raises(OSError) as raised:
        yield
    assert errno.errorcode[raised.value.errno or 0] == errno.errorcode[number]


def acts(standin) -> list[str]:
    """The operations that were requested and change something, in order."""
    return [record.kind for record in standin.requests if record.method != "GET"]


def echo(text: str, path: Path) -> int:
    """The exit status of a shell's redirection."""
    command = ["sh", "-c", 'echo "$0" > "$1"', text, path]
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=WATCHDOG_SECONDS).returncode


def soon(holds: Callable[[], object]) -> bool:
    """True once the condition holds: after a call that failed, what the kernel knows is taken back a moment later."""
    for _ in range(500):
        with suppress(OSError):
            if holds():
                return True
        time.sleep(0.02)
    return False


def test_credentials_as_people_use_them(said, home, standin):
    """mkdir creates, the document shows the password to its owner alone, rmdir forgets, rm deletes; each at once, each
    one request; the password is in no file and no output."""
    passwords = []
    with mounted(said, home, account_variables(standin), "--writable") as mount:
        folder = mount.path / CREDENTIALS
        listed = sorted(os.listdir(folder))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
        assert stat.S_IMODE((folder / listed[0]).stat().st_mode) == 0o444
        (folder / "nightly export").mkdir()
        file = folder / "nightly export/credential.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o400
        told = json.loads(file.read_bytes())
        assert file.stat().st_size == len(file.read_bytes())
        passwords.append(told["password"])
        assert standin.account.me.accepts(told["username"], told["password"])
        assert sorted(os.listdir(folder)) == sorted([*listed, f"{told['id']}.json", "nightly export"])
        assert told["password"] not in (folder / f"{told['id']}.json").read_text()
        for attempt in (lambda: (folder / "nightly export").mkdir(), lambda: (folder / "nightly export").mkdir()):
            with refused(errno.EEXIST):
                attempt()
        with refused(errno.EPERM):
            file.unlink()
        with refused(errno.EROFS):
            file.write_text("x")
        said.outputs.append((mount.path / ".cffs/status.json").read_text())
        (folder / "nightly export").rmdir()
        assert not file.exists()
        with refused(errno.EEXIST):
            (folder / "nightly export").mkdir()
        (folder / "other").mkdir()
        other = json.loads((folder / "other/credential.json").read_bytes())
        passwords.append(other["password"])
        (folder / f"{other['id']}.json").unlink()
        assert sorted(os.listdir(folder)) == sorted([*listed, f"{told['id']}.json"])
        assert not (folder / "other").exists()
        with refused(errno.ENOENT):
            (folder / f"{other['id']}.json").unlink()
        assert acts(standin) == ["createApiCredential", "createApiCredential", "deleteApiCredential"]
    with mounted(said, home, account_variables(standin), "--writable") as mount:
        assert not (mount.path / CREDENTIALS / "nightly export").exists()
    everything = "".join(said.outputs).encode()
    for path in home.rglob("*"):
        everything += path.read_bytes() if path.is_file() else b""
    for password in passwords:
        assert password.encode() not in everything


def test_caller_ids_as_people_use_them(said, home, standin):
    """mkdir rings once; the wrong code is EINVAL to `echo` itself and to a program's write; the right one verifies; a
    number that waits does so after a remount, where a read-only mount shows it too."""
    me = standin.account.me
    with mounted(said, home, account_variables(standin), "--writable") as mount:
        folder = mount.path / "me/callerids"
        verified = sorted(os.listdir(folder))
        (folder / NUMBER).mkdir()
        assert sorted(os.listdir(folder)) == sorted([*verified, NUMBER])
        assert os.listdir(folder / NUMBER) == ["verification-code"]
        code = folder / NUMBER / "verification-code"
        assert stat.S_IMODE(code.stat().st_mode) == 0o200
        os.utime(code)
        os.close(os.open(code, os.O_WRONLY | os.O_TRUNC))
        assert acts(standin) == ["sendVerificationCodeToCallerId"]
        with refused(errno.EEXIST):
            (folder / NUMBER).mkdir()
        with refused(errno.EPERM):
            (folder / verified[0]).rmdir()
    with mounted(said, home, account_variables(standin)) as mount:
        assert os.listdir(mount.path / "me/callerids" / NUMBER) == ["verification-code"]
        assert echo(me.verification_code(NUMBER), mount.path / "me/callerids" / NUMBER / "verification-code") != 0
        with refused(errno.EROFS):
            (mount.path / "me/callerids/12135551123").mkdir()
    with mounted(said, home, account_variables(standin), "--writable") as mount:
        code = mount.path / "me/callerids" / NUMBER / "verification-code"
        assert echo("0", code) != 0
        with refused(errno.EINVAL):
            code.write_text("1")
        assert code.exists()  # and Python's second attempt at that write, at its close, was not sent
        assert echo(me.verification_code(NUMBER), code) == 0
        assert os.listdir(mount.path / "me/callerids" / NUMBER) == []
        assert not code.exists()
        assert NUMBER in os.listdir(mount.path / "me/callerids")
    assert acts(standin) == ["sendVerificationCodeToCallerId"] + ["verifyCallerId"] * 3
    assert me.verification_calls == [NUMBER]
    assert NUMBER in me.caller_ids


def test_names_that_are_none_are_refused_unsent(said, home, standin):
    """Hostile and mistaken names are EINVAL, what has no meaning is EPERM or EROFS; the service gets no request."""
    with mounted(said, home, account_variables(standin), "--writable") as mount:
        numbers, credentials = mount.path / "me/callerids", mount.path / CREDENTIALS
        os.listdir(numbers), os.listdir(credentials)
        for name in ("123", "+12135551122", "12135551122x", "..%2fx", "a" * 255):
            with refused(errno.EINVAL):
                (numbers / name).mkdir()
        for name in ("x.json", "5.json", ".Trash-1000", "a\nb", " a", "\udcff"):
            with refused(errno.EINVAL):
                (credentials / name).mkdir()
        with refused(errno.ENAMETOOLONG):
            (credentials / ("a" * 256)).mkdir()
        with refused(errno.EPERM):
            (credentials / "file").write_text("x")
        with refused(errno.EPERM):
            (numbers / "file").write_text("x")
        for path in ("me/x", "me/api/x", "calls/x", "me/billing/x", f"me/callerids/{os.listdir(numbers)[0]}/x"):
            with refused(errno.EROFS):
                (mount.path / path).mkdir()
    assert acts(standin) == []


def test_a_lost_answer_is_eio_and_one_line(said, home, standin):
    """A lost answer is EIO, one request, and a line in the log with what the service lists, which the mount shows; the
    telephone may have rung, so the number waits."""
    for kind in ("createApiCredential", "deleteApiCredential", "sendVerificationCodeToCallerId", "verifyCallerId"):
        standin.faults.add("reset_before", kind=kind)
    with mounted(said, home, account_variables(standin), "--writable") as mount:
        credentials, number = mount.path / CREDENTIALS, mount.path / "me/callerids" / NUMBER
        listed = sorted(os.listdir(credentials))
        with refused(errno.EIO):
            (credentials / "lost").mkdir()
        with refused(errno.EEXIST):
            (credentials / "lost").mkdir()
        (lost,) = set(os.listdir(credentials)) - set(listed)
        with refused(errno.EIO):
            (credentials / lost).unlink()
        assert sorted(os.listdir(credentials)) == listed
        with refused(errno.EIO):
            number.mkdir()
        assert soon(lambda: os.listdir(number) == ["verification-code"])
        with refused(errno.EIO):
            (number / "verification-code").write_text(standin.account.me.verification_code(NUMBER) + "\n")
        assert os.listdir(number) == []
        lines = [line for line in mount.log().splitlines() if "uncertain whether" in line]
        for what in ("credential 'lost' was created", "was deleted", f"{NUMBER} was rung", f"{NUMBER} was verified"):
            assert sum(what in line for line in lines) == 1
    assert acts(standin) == [
        "createApiCredential",
        "deleteApiCredential",
        "sendVerificationCodeToCallerId",
        "verifyCallerId",
    ]


def test_without_the_account_login_there_is_nothing_to_create(said, home, standin):
    """Without the account's login me/api is absent; one that the service refuses is EACCES, and may be tried again."""
    with mounted(said, home, account_variables(standin, owner=False), "--writable") as mount:
        with refused(errno.ENOENT):
            (mount.path / CREDENTIALS / "x").mkdir()
    variables = account_variables(standin) | {"CFFS_ACCOUNT_PASSWORD": "another"}
    with mounted(said, home, variables, "--writable") as mount:
        for _ in range(2):
            with refused(errno.EACCES):
                (mount.path / CREDENTIALS / "x").mkdir()
    assert acts(standin) == ["createApiCredential"] * 2
