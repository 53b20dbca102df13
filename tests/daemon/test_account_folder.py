"""The folders of an account: their name, their lock, who may enter."""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cffs.core.errors import UsageError
from cffs.core.settings import Credentials, Settings
from cffs.daemon.account_folder import account_name, taken

KEY = bytes(range(32))
MOUNTPOINT = Path("/mnt/calls")


def settings(folder: Path, **changes: Any) -> Settings:
    fields: dict[str, Any] = {
        "credentials": Credentials(apikey="k", login="me", password="secret"),
        "cache_dir": folder / "cache",
        "state_dir": folder / "state",
        "runtime_dir": folder / "run",
        "uid": 0,
        "gid": 0,
        "v1_url": "https://one.example/1",
        "v2_url": "https://two.example/2",
    }
    return Settings(**{**fields, **changes})


def named(folder: Path, *, key: bytes = KEY, **changes: Any) -> str:
    return account_name(settings(folder, **changes), key)


@contextmanager
def umask(bits: int) -> Iterator[None]:
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


def fails(folder: Path, **changes: Any) -> str:
    """The one line with which the folders are refused."""
    with pytest.raises(UsageError) as raised, taken(settings(folder, **changes), MOUNTPOINT):
        raise AssertionError("not reached")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_name_tells_accounts_apart(tmp_path):
    """A different key file, URL, login or (without v2) v1 key makes a different folder."""
    v1 = Credentials(apikey="k")
    names = [
        named(tmp_path),
        named(tmp_path, key=bytes(32)),
        named(tmp_path, v1_url="https://other.example/1"),
        named(tmp_path, v2_url="https://other.example/2"),
        named(tmp_path, credentials=Credentials(login="you", password="secret")),
        named(tmp_path, credentials=v1),
        named(tmp_path, credentials=Credentials(apikey="other")),
        named(tmp_path, credentials=Credentials(apikey="me")),
        named(tmp_path, v1_url="https://one.example/1\0https://two.example/2", v2_url="https://localhost"),
    ]
    assert len(set(names)) == len(names)


def test_the_name_does_not_depend_on_passwords(tmp_path):
    """A changed password, account login, or a v1 key beside a v2 login, keep the cache; so does asking again."""
    name = named(tmp_path)
    for credentials in (
        Credentials(apikey="k", login="me", password="changed"),
        Credentials(login="me", password="secret"),
        Credentials(login="me", password="secret", account_login="boss", account_password="b"),
    ):
        assert named(tmp_path, credentials=credentials) == name
    assert named(tmp_path) == name


def test_the_name_tells_nothing(tmp_path):
    """The folder's name holds neither login nor key nor URL, and no separator."""
    name = named(tmp_path, credentials=Credentials(apikey="abc"))
    assert name.isalnum()
    assert len(name) == 16
    assert "abc" not in name


@pytest.mark.parametrize("bits", [0, 0o022, 0o077])
def test_folders_are_0700_and_files_0600(tmp_path, bits):
    """The modes hold whatever the umask."""
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "state").mkdir(mode=0o700)
    with umask(bits), taken(settings(tmp_path), MOUNTPOINT) as folders:
        for folder in (folders.cache, folders.state):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for file in (folders.cache / "lock", tmp_path / "cache/key"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert sorted(os.listdir(tmp_path / "cache")) == sorted(["key", folders.cache.name])


def test_the_same_account_finds_its_folder_again(tmp_path):
    """The key is made once: a second mount has the same folders, and another cache folder has others."""
    found = []
    for folder in ("a", "a", "b"):
        (tmp_path / folder).mkdir(mode=0o700, exist_ok=True)
        with taken(settings(tmp_path / folder), MOUNTPOINT) as folders:
            found.append(folders.cache.name)
    assert found[0] == found[1] != found[2]


def test_a_second_mount_is_refused(tmp_path):
    """While one mount holds the account, another is refused with the first one's pid, its mount point and the way out;
    then the account is free."""
    with taken(settings(tmp_path), MOUNTPOINT):
        line = fails(tmp_path)
        assert str(os.getpid()) in line
        assert str(MOUNTPOINT) in line
        assert "--cache-dir" in line
        other = Credentials(login="you", password="x")
        with taken(settings(tmp_path, credentials=other), MOUNTPOINT):
            pass
    with taken(settings(tmp_path), MOUNTPOINT):
        pass


@pytest.mark.parametrize("left", [b"", b"nonsense", b"[]", b'{"pid": 1}'])
def test_a_lock_that_says_nothing(tmp_path, left):
    """A lock whose holder has not written itself down yet still refuses, in one line."""
    with taken(settings(tmp_path), MOUNTPOINT) as folders:
        path = folders.cache / "lock"
    path.write_bytes(left)
    with path.open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another mount" in fails(tmp_path)


def test_a_stale_lock_is_no_lock(tmp_path):
    """What a killed mount wrote does not stop the next one, which writes itself."""
    with taken(settings(tmp_path), MOUNTPOINT) as folders:
        path = folders.cache / "lock"
    path.write_text(json.dumps({"pid": 1, "mountpoint": "/" + "x" * 4000}))
    with taken(settings(tmp_path), MOUNTPOINT):
        assert json.loads(path.read_text()) == {"pid": os.getpid(), "mountpoint": str(MOUNTPOINT)}


@pytest.mark.parametrize("name", ["key", "lock"])
def test_a_symlink_is_never_followed(tmp_path, name):
    """A key or a lock that is a symbolic link is refused in one line that names it, and what it leads to is
    untouched."""
    with taken(settings(tmp_path), MOUNTPOINT) as folders:
        path = tmp_path / "cache/key" if name == "key" else folders.cache / "lock"
    target = tmp_path / "target"
    target.write_bytes(KEY)
    path.unlink()
    path.symlink_to(target)
    assert str(path) in fails(tmp_path)
    assert target.read_bytes() == KEY


@pytest.mark.parametrize("kind", ["folder", "pipe"])
@pytest.mark.parametrize("name", ["key", "lock"])
def test_what_is_no_file_is_one_line(tmp_path, name, kind):
    """A key or a lock that is a folder or a pipe is refused in one line that names it, without waiting."""
    with taken(settings(tmp_path), MOUNTPOINT) as folders:
        path = tmp_path / "cache/key" if name == "key" else folders.cache / "lock"
    path.unlink()
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert str(path) in fails(tmp_path)


def test_a_dangling_key_is_refused(tmp_path):
    """The key is not written through a link that leads nowhere."""
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache/key").symlink_to(tmp_path / "nowhere")
    assert "key" in fails(tmp_path)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("left", [b"", b"short", bytes(33)])
def test_a_damaged_key_is_one_line(tmp_path, left):
    """A key of another length is not used; one line says what to remove."""
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache/key").write_bytes(left)
    line = fails(tmp_path)
    assert "damaged" in line
    assert str(tmp_path / "cache/key") in line


@pytest.mark.parametrize("name", ["cache", "state"])
def test_folders_of_others_are_refused(tmp_path, name):
    """A folder that others can enter, or that is a link, is refused."""
    (tmp_path / name).mkdir()
    (tmp_path / name).chmod(0o777)
    assert "chmod 700" in fails(tmp_path)
    (tmp_path / name).rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in fails(tmp_path)


def test_the_key_is_whole_or_not_there(tmp_path):
    """Only the key is left in the cache folder, and it has its 32 bytes."""
    with taken(settings(tmp_path), MOUNTPOINT) as folders:
        assert (tmp_path / "cache/key").stat().st_size == 32
        assert {entry.name for entry in (tmp_path / "cache").iterdir()} == {"key", folders.cache.name}
