"""Reading of the config file and of files that hold a secret.

It owns the rule of whom such a file may belong to and who may read it. It must not know which keys are options
(`core/settings_resolve`).
"""

import os
import stat
import tomllib
from collections.abc import Collection
from pathlib import Path

from cffs.cli.messages import Failed
from cffs.core.settings_resolve import MAX_SECRET_CHARACTERS, holds_secrets

#: A config of a thousand profiles fits; a larger file is no config.
_LARGEST_CONFIG_NBYTES = 2**20


def read_config(path: Path, *, owners: Collection[int], must_exist: bool) -> dict[str, object]:
    """Return the parsed file, {} where there is none. Raises Failed, one line, where it cannot be read or trusted.

    A file with secrets must belong to one of `owners` and be closed to all others. A symbolic link to such a file is
    accepted, as people keep their dot-files that way: what counts is the file that was opened.
    """
    try:
        text, found = _read(path, largest=_LARGEST_CONFIG_NBYTES)
    except FileNotFoundError as error:
        if must_exist:
            raise Failed(f"no config file {path}") from error
        return {}
    except NotADirectoryError:
        return {}
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # its message names line and column, never the text around it
        raise Failed(f"{path} is not TOML: {error}") from None
    if holds_secrets(config):
        if found.st_uid not in owners:
            raise Failed(f"{path} holds secrets and belongs to another user (uid {found.st_uid}); it was not used")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise Failed(f"{path} holds secrets and others can read it; run: chmod 600 {path}")
    return config


def read_secret(path: Path, *, owners: Collection[int]) -> str:
    """Return the whole text of the file that a `..._file` names. Raises Failed, in one line that shows nothing of it.

    It must belong to one of `owners`, or to root, and be closed to all others, as the config file must.
    """
    try:
        text, found = _read(path, largest=4 * MAX_SECRET_CHARACTERS)
    except FileNotFoundError as error:
        raise Failed(f"no file {path} to read a secret from") from error
    if found.st_uid not in {*owners, 0}:
        raise Failed(f"{path} holds a secret and belongs to another user (uid {found.st_uid}); it was not used")
    # systemd's LoadCredential= gives a service root's file by an access list, whose mask stands in the group's bits
    open_to = 0o037 if found.st_uid == 0 != os.geteuid() else 0o077
    if stat.S_IMODE(found.st_mode) & open_to:
        raise Failed(f"{path} holds a secret and others can read it; run: chmod 600 {path}")
    return text


def _read(path: Path, *, largest: int) -> tuple[str, os.stat_result]:
    try:
        # O_NONBLOCK: opening a pipe must not hang the command before it is found not to be a file
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise Failed(f"{path} is not a file")
            raw = stream.read(largest + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > largest:
        raise Failed(f"{path} is larger than {largest} bytes")
    try:
        return raw.decode("utf-8"), found
    except UnicodeDecodeError:
        raise Failed(f"{path} is not UTF-8 text") from None  # the error would carry the bytes
