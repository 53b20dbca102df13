"""`cffs verify`: compares files with the manifest beside them, as a mount renders it or as it was copied along.

It must not know mounts. `cli/main` registers it.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import click

from cffs.cli.messages import Failed, json_text, one_line

_NAME = "MANIFEST.sha256"
_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
_MISSING = "# missing: "


@click.command(short_help="Compare files with their manifest.")
@click.argument("path", type=Path)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def verify(path: Path, as_json: bool) -> int:
    """Compare the files in the folder PATH, or beside the manifest PATH, with its MANIFEST.sha256.

    Copy the manifest along with the files. Exits 1 where a file differs or is absent, or where none could be compared;
    files that the mount did not hold whole when it made the manifest are named and not compared.
    """
    manifest = path / _NAME if path.is_dir() else path
    told: dict[str, list[str]] = {"good": [], "differs": [], "absent": [], "not compared": []}
    for verdict, name in _compared(manifest):
        told[verdict].append(name)
    if as_json:
        click.echo(json_text(told, indent=2))
    else:
        for verdict in ("differs", "absent", "not compared"):
            for name in told[verdict]:
                click.echo(f"{verdict}: {one_line(name)}")
        count = len(told["good"])
        click.echo("1 file as it should be" if count == 1 else f"{count} files as they should be")
    return 1 if told["differs"] or told["absent"] or not told["good"] else 0


def _compared(manifest: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = manifest.read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise Failed(f"cannot read {manifest}: {getattr(error, 'strerror', None) or 'not a manifest'}") from error
    for line in lines:
        match = _LINE.fullmatch(line)
        if line.startswith(_MISSING):
            yield "not compared", line.removeprefix(_MISSING)
        elif match is not None:
            name = match[3].replace("\\\\", "\\") if match[1] else match[3]
            yield _verdict(manifest.parent, name, match[2]), name
        elif line and not line.startswith("#"):
            raise Failed(f"{manifest} is no manifest of SHA-256 digests")


def _verdict(folder: Path, name: str, digest: str) -> str:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise Failed(f"the manifest names a file outside its folder: {name}")
    try:
        with path.open("rb") as file:
            return "good" if hashlib.file_digest(file, "sha256").hexdigest() == digest else "differs"
    except FileNotFoundError:
        return "absent"
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error
