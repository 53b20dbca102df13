"""The folders of one account: named by a keyed hash, locked by one mount.

There is one below the cache folder and one below the state folder.

Owns their names and the lock. It must not know what is kept in them.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.daemon.hardening import private_folder

_KEY_NBYTES = 32
#: 64 bits of a keyed hash: enough to distinguish a user's accounts, and short in a path.
_NAME_DIGITS = 16


@dataclass(frozen=True, slots=True)
class AccountFolders:
    """The folders of this account's cache and state; both have mode 0700 and are ours."""

    cache: Path
    state: Path


def account_identity(settings: Settings) -> str:
    """What distinguishes the account from all others: both URLs and the v2 login (without v2, the v1 key).

    No password goes into it. It may hold the key, so it is shown nowhere, and is used as part of a hash alone.
    """
    identity = settings.credentials.login if settings.credentials.has_v2 else settings.credentials.apikey
    parts = (settings.v1_url, settings.v2_url, "v2" if settings.credentials.has_v2 else "v1", identity or "")
    # the separator cannot occur in the encoding of a part, so no two accounts make the same text
    return "\0".join(part.encode("unicode_escape").decode("ascii") for part in parts)


def account_name(settings: Settings, key: bytes) -> str:
    """The name of the account's folders: a hash of its identity.

    It is keyed by `key`, so that a listing of the cache gives nothing away.
    """
    return hmac.new(key, account_identity(settings).encode("ascii"), hashlib.sha256).hexdigest()[:_NAME_DIGITS]


def located(settings: Settings) -> AccountFolders:
    """The account's folders, made where missing, whether or not a mount uses them. Raises UsageError, one line."""
    cache = private_folder(settings.cache_dir)
    state = private_folder(settings.state_dir)
    name = account_name(settings, _folder_key(cache))
    return AccountFolders(private_folder(cache / name), private_folder(state / name))


def located_in(settings: Settings, folder: Path) -> Path:
    """The account's folder below one that several machines may share, made where missing. Raises UsageError."""
    shared = private_folder(folder)
    return private_folder(shared / account_name(settings, _folder_key(shared)))


@contextmanager
def taken(settings: Settings, mountpoint: Path) -> Iterator[AccountFolders]:
    """The account's folders, made where missing and locked against a second mount for the length of the block.

    Raises UsageError, one line, where a folder is not ours alone, or another mount uses it (named by its pid and mount
    point).
    """
    folders = located(settings)
    path = folders.cache / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"cannot use {path}: {error.strerror}; remove it") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(f"{path} is not a file; remove it")
        os.fchmod(descriptor, 0o600)
        _lock(descriptor, folders.cache)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "mountpoint": str(mountpoint)}).encode(), 0)
        yield folders
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            who = f"the mount at {holder['mountpoint']} (pid {holder['pid']})"
        except (ValueError, KeyError, TypeError):
            who = "another mount"
        raise UsageError(
            f"{who} already uses this account's cache in {folder.parent}; unmount it, or give another --cache-dir"
        ) from error


def _folder_key(cache: Path) -> bytes:
    """The random key of this cache folder, made at its first mount."""
    path = cache / "key"
    if not os.path.lexists(path):
        try:
            _make_key(path)
        except OSError as error:
            raise UsageError(f"cannot make {path}: {error.strerror}") from error
    try:
        # O_NONBLOCK: a pipe put there must not be waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; remove it") from error
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise UsageError(f"{path} belongs to another user; remove it")
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{path} is not a file; remove it")
        key = os.read(descriptor, _KEY_NBYTES + 1)
    finally:
        os.close(descriptor)
    if len(key) != _KEY_NBYTES:
        raise UsageError(f"{path} is damaged; remove it (the account's cache starts afresh)")
    return key


def _make_key(path: Path) -> None:
    """Make the whole key or nothing: another mount may look meanwhile, and a crash must not leave half a key. The
    folder's lock lets one of several makers win; link(2) would not do so on every file system."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return  # another mount was faster: its key holds
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix="key.")  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(secrets.token_bytes(_KEY_NBYTES))
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    finally:
        os.close(folder)
