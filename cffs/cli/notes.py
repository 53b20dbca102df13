"""`cffs notes import`: takes notes that lie in a folder into a mount's notes.

It owns which file belongs to which recording. It must not know how notes are kept: it writes them beside recordings in
a mount.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from cffs.cli.groups import SuggestingGroup
from cffs.cli.messages import tell
from cffs.cli.search import mount_of
from cffs.core.listed_names import id_in
from cffs.notes.keys import split_note_name


@click.group(cls=SuggestingGroup, short_help="Take transcripts in as notes.")
def notes() -> None:
    """Notes beside recordings."""


@notes.command("import", short_help="Take notes from a folder.")
@click.argument("folder", type=Path, metavar="DIR")
@click.option("--mount", "mountpoint", type=Path, help="Into this mount.  [the only one]")
@click.option("--replace", is_flag=True, help="Also where there is such a note already.")
def import_(folder: Path, mountpoint: Path | None, replace: bool) -> int:
    """Take notes from DIR and the folders below it: files named by a recording's id, or as the tree names it.

    Exits 1 where one could not be taken; files of other names are left alone.
    """
    where = mount_of(mountpoint)
    taken = kept = failed = others = 0
    for path in _files(folder):
        split = split_note_name(path.name)
        recording_id = None if split is None else id_in(split[0])
        if split is None or recording_id is None:
            others += 1
            continue
        target = where / f"recordings/{recording_id}.{split[1]}"
        try:
            if target.exists() and not replace:
                kept += 1
                continue
            shutil.copyfile(path, target)
            taken += 1
        except OSError as error:
            failed += 1
            tell(f"{path}: {error.strerror}{_advice(error)}")
    click.echo(f"{taken} taken, {kept} there already, {others} of other names")
    return 1 if failed else 0


def _files(folder: Path) -> Iterator[Path]:
    for parent, _folders, names in os.walk(folder):
        yield from (Path(parent) / name for name in sorted(names))


def _advice(error: OSError) -> str:
    if error.errno == errno.EINVAL:
        return "; no recording of the account has that id"
    return "; mount with --notes DIR" if error.errno == errno.EROFS else ""
