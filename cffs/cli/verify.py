"""`cffs verify`: compares files with the manifest beside them.

It must not know mounts: a manifest may be rendered by a mount or copied along. Folder and manifest are hostile: only
regular files in the folder are opened, no link is followed, and a name is any bytes.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path

import click

from cffs.cli.messages import Failed, json_text, one_line

_NAME = "MANIFEST.sha256"
_LINE = re.compile(rb"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
_MISSING = b"# missing: "
#: A path has at most 4,096 bytes (PATH_MAX), each of which may be escaped; a longer line is none of a manifest.
_MAX_LINE_NBYTES = 16_384
#: How sha256sum escapes what its lines cannot hold.
_ESCAPE = re.compile(rb"\\[\\nr]")
_ESCAPED = {rb"\\": b"\\", rb"\n": b"\n", rb"\r": b"\r"}


class _NoFile(OSError):
    """The name is not that of a regular file in the folder."""


@click.command(short_help="Compare files with their manifest.")
@click.argument("path", type=Path)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def verify(path: Path, as_json: bool) -> int:
    """Compare the files in the folder PATH, or beside the manifest PATH, with its MANIFEST.sha256.

    Copy the manifest along with the files. Exits 1 where a file differs, is absent or cannot be read, or where none
    could be compared; files that the mount did not hold whole when it made the manifest are named and not compared.
    Links, and whatever is no regular file in the folder, are not read.
    """
    verdicts: dict[str, list[str]] = {"good": [], "differs": [], "absent": [], "unreadable": [], "not compared": []}
    for verdict, raw, why in _compared(path):
        name = raw.decode("utf-8", "surrogateescape")
        verdicts[verdict].append(name)
        if verdict != "good" and not as_json:
            click.echo(f"{verdict}: {one_line(name)}" + (f" ({why})" if why else ""))
    count = len(verdicts["good"])
    if as_json:
        click.echo(json_text(verdicts, indent=2))
    else:
        click.echo("1 file as it should be" if count == 1 else f"{count} files as they should be")
    return 1 if verdicts["differs"] or verdicts["absent"] or verdicts["unreadable"] or not count else 0


def _compared(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """The verdict on each file that the manifest names, with the reason where that is not plain. Raises Failed."""
    folder, manifest = path, path / _NAME
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            folder, manifest = path.parent, path
        with _opened_folder(folder) as within, _opened(within, os.fsencode(manifest.name)) as lines:
            while raw := lines.readline(_MAX_LINE_NBYTES):
                line = raw.removesuffix(b"\n")
                match = _LINE.fullmatch(line)
                if line.startswith(_MISSING):
                    yield "not compared", line.removeprefix(_MISSING), ""
                elif match is not None:
                    name = _ESCAPE.sub(lambda found: _ESCAPED[found[0]], match[3]) if match[1] else match[3]
                    yield _verdict(within, name, match[2].lower().decode("ascii"))
                elif line.strip() and not line.startswith(b"#"):
                    raise Failed(f"{manifest} is no manifest of SHA-256 digests")
    except OSError as error:
        raise Failed(f"cannot read {manifest}: {error.strerror}") from error


def _verdict(within: int, name: bytes, digest: str) -> tuple[str, bytes, str]:
    if b"\0" in name:
        return "absent", name, "no file can be called so"
    try:
        with _opened(within, name) as file:
            return "good" if hashlib.file_digest(file, "sha256").hexdigest() == digest else "differs", name, ""
    except FileNotFoundError:
        return "absent", name, ""
    except OSError as error:
        return "unreadable", name, error.strerror or type(error).__name__


@contextmanager
def _opened_folder(path: Path | bytes, *, within: int | None = None) -> Iterator[int]:
    """A descriptor of a folder in which others are opened; below `within` no link is followed."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | (0 if within is None else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened(within: int, name: bytes) -> Iterator[BufferedReader]:
    """A descriptor of the regular file of that name, reached through folders in this one alone. Raises OSError.

    Nothing else is opened, for that may wait without end or wake a device.
    """
    *above, last = name.split(b"/")
    if name.startswith(b"/") or b".." in above or last in (b"", b".", b".."):
        raise _NoFile(0, "not a name in the folder")
    with ExitStack() as stack:
        for part in above:
            if part in (b"", b"."):
                continue
            within = stack.enter_context(_opened_folder(part, within=within))
        found = os.open(last, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
        stack.callback(os.close, found)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise _NoFile(0, "not a regular file")
        yield stack.enter_context(open(f"/proc/self/fd/{found}", "rb"))
