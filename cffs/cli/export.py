"""`cffs export`: recordings, metadata and notes as a BagIt bag.

It owns the bag (RFC 8493). It must not know how recordings are fetched: it reads files of a running mount, through its
cache.

The bag is made in place and can be continued after any end: a file has its name once it is whole, and the manifests,
without which the folder is no bag, are written last.
"""

import csv
import fcntl
import hashlib
import io
import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

import cffs
from cffs.cli.control import NoSocket, ask
from cffs.cli.messages import Failed, tell
from cffs.cli.mounts import place_in_mount
from cffs.cli.search import mount_of
from cffs.core.listed_names import id_in
from cffs.core.units import MIB
from cffs.notes.keys import EXTENSIONS, split_note_name
from cffs.tree.indexes import FIELDS

_AUDIO = ("mp3", "wav")
_TAGS = ("bagit.txt", "bag-info.txt", "manifest-sha256.txt")
_BAGIT = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
#: A file that is not whole yet.
_PART = ".part"


@dataclass(slots=True)
class _Source:
    """A recording to export: its file in the mount, and the notes beside it."""

    path: Path
    notes: list[Path] = field(default_factory=list)


@click.command(short_help="Make a verifiable copy (a BagIt bag).")
@click.argument("sources", nargs=-1, required=True, metavar="PATH-OR-QUERY...")
@click.argument("folder", type=Path, metavar="DIR")
@click.option("--mount", "mountpoint", type=Path, help="Where queries are asked.  [the only mount]")
def export(sources: tuple[str, ...], folder: Path, mountpoint: Path | None) -> int:
    """Copy recordings into DIR as a BagIt bag: audio, metadata, notes, index.csv, and SHA-256 digests of all.

    A source is a file or folder of a mount, or a query as in search/: 'number=14155035894&after=2026-11-01'. Run it
    again to continue after any end. Exits 0 only where the bag is whole; else each missing file is named.
    """
    found, problems = _found(sources, mountpoint)
    if not found and not problems:
        raise Failed("there is no recording to export")
    data = folder / "data"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _hold(data)
        for tag in _TAGS[2:]:
            (folder / tag).unlink(missing_ok=True)  # until all is there it is no bag
    except OSError as error:
        raise Failed(f"cannot write {folder}: {error.strerror}") from error
    digests: dict[str, tuple[str, int]] = {}
    validators: dict[str, str] = {}
    with click.progressbar(length=len(found), label="exporting", file=sys.stderr) as bar:
        for source in found:
            problems += _export_one(source, data, digests, validators)
            bar.update(1)
    problems += _write_index(found, data, digests)
    if problems:
        for problem in problems:
            tell(problem)
        tell(f"the bag is not whole: {len(problems)} missing; run the command again to continue")
        return 1
    _write_tags(folder, sources, place_in_mount(found[0].path)[0].mountpoint, digests, validators)
    click.echo(f"{len(found)} recordings, {sum(nbytes for _digest, nbytes in digests.values())} bytes in {folder}")
    return 0


def _hold(data: Path) -> None:
    """Keep other exports out of the folder until this process ends: two would write into one file. Raises Failed."""
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Failed(f"another export writes into {data.parent}; run the command again once it has ended") from error


def _found(sources: tuple[str, ...], mountpoint: Path | None) -> tuple[list[_Source], list[str]]:
    """Each recording once, in the order of the sources; and what could not be listed."""
    found: dict[int, _Source] = {}
    problems: list[str] = []
    for text in sources:
        path = Path(text)
        if not os.path.lexists(path) and "=" in text and "/" not in text.partition("=")[0]:
            path = mount_of(mountpoint) / "search" / text
        place_in_mount(path)
        notes: dict[int, list[Path]] = {}
        try:
            for file in _files(path):
                stem, _dot, extension = file.name.rpartition(".")
                if (recording_id := id_in(stem)) is None:
                    continue
                if extension in _AUDIO:
                    found.setdefault(recording_id, _Source(file))
                elif split_note_name(file.name) is not None and file.name != f"{recording_id}.json":
                    notes.setdefault(recording_id, []).append(file)
        except OSError as error:
            problems.append(f"{error.filename or path}: {error.strerror}")
        for recording_id, beside in notes.items():
            if recording_id in found:
                found[recording_id].notes = beside
    return list(found.values()), problems


def _files(path: Path) -> Iterator[Path]:
    """A file, and the notes beside it; or all files below a folder."""
    if not path.is_dir():
        os.stat(path)
        yield path
        notes = (path.with_name(f"{path.name.rpartition('.')[0]}.{extension}") for extension in EXTENSIONS)
        yield from (note for note in notes if note.exists())
        return

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(path, onerror=fail):
        folders.sort()
        yield from (Path(parent) / name for name in names)


def _export_one(
    source: _Source, data: Path, digests: dict[str, tuple[str, int]], validators: dict[str, str]
) -> list[str]:
    """Copy a recording, its metadata and its notes; the problems met."""
    problems = []
    recording_id = id_in(source.path.stem)
    mount, _place = place_in_mount(source.path)
    metadata = mount.mountpoint / f"recordings/{recording_id}.json"
    wanted = [(source.path, source.path.name), (metadata, f"{source.path.stem}.json")]
    wanted += [(note, note.name) for note in source.notes if note.name != f"{source.path.stem}.json"]
    for path, name in wanted:
        try:
            digests[name] = _copied(path, data / name, is_audio=path is source.path)
        except OSError as error:
            if path is metadata and source.path.suffix == ".wav":
                continue  # v1 alone has none
            problems.append(f"{path}: {error.strerror}")
    with suppress(Failed, NoSocket):
        answer = ask(mount, "why", {"path": place_in_mount(source.path)[1]})
        if isinstance(answer, dict) and answer.get("validator"):
            validators[source.path.name] = str(answer["validator"])
    return problems


def _copied(path: Path, target: Path, *, is_audio: bool) -> tuple[str, int]:
    """The digest and the length of a copy; one that is there already is read again, here and not at the service."""
    if is_audio and target.exists():
        with target.open("rb") as file:
            if os.fstat(file.fileno()).st_size == os.stat(path).st_size:
                return _digest(file.read, None)
    part = target.with_name(target.name + _PART)
    with path.open("rb", buffering=0) as source, part.open("wb") as copy:
        digest = _digest(source.read, copy.write)
        copy.flush()
        os.fsync(copy.fileno())
    part.replace(target)
    return digest


def _digest(read: Callable[[int], bytes | None], write: Callable[[bytes], object] | None) -> tuple[str, int]:
    digest, nbytes = hashlib.sha256(), 0
    while piece := read(MIB):
        digest.update(piece)
        nbytes += len(piece)
        if write is not None:
            write(piece)
    return digest.hexdigest(), nbytes


def _write_index(found: list[_Source], data: Path, digests: dict[str, tuple[str, int]]) -> list[str]:
    """index.csv of what is exported, from the indexes of the folders that it lay in."""
    rows: dict[str, dict[str, str]] = {}
    names = {source.path.name for source in found}
    for folder in dict.fromkeys(source.path.parent for source in found):
        try:
            with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
                rows |= {row["file_name"]: row for row in csv.DictReader(file) if row["file_name"] in names}
        except OSError as error:
            return [f"{folder / 'index.csv'}: {error.strerror}"]
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for source in found:
        row = rows.get(source.path.name, dict.fromkeys(FIELDS, "") | {"file_name": source.path.name})
        writer.writerow(row | {"audio_filepath": source.path.name})
    content = text.getvalue().encode()
    try:
        (data / "index.csv").write_bytes(content)
    except OSError as error:
        return [f"{data / 'index.csv'}: {error.strerror}"]
    digests["index.csv"] = hashlib.sha256(content).hexdigest(), len(content)
    return []


def _write_tags(
    folder: Path,
    sources: tuple[str, ...],
    mount: Path,
    digests: dict[str, tuple[str, int]],
    validators: dict[str, str],
) -> None:
    now = datetime.now(tz=UTC)
    octets = sum(nbytes for _digest, nbytes in digests.values())
    info = {
        "Source-Organization": _account(mount),
        "Bagging-Date": f"{now:%Y-%m-%d}",
        "Bagging-Time": now.isoformat(timespec="seconds"),
        "Bag-Software-Agent": f"cffs {cffs.__version__}",
        "External-Description": "call recordings: " + json.dumps(sources, ensure_ascii=True),
        "Payload-Oxum": f"{octets}.{len(digests)}",
    }
    texts = {
        "bagit.txt": _BAGIT,
        "bag-info.txt": "".join(f"{name}: {value}\n" for name, value in info.items()),
        "validators.csv": _table([("file_name", "validator"), *validators.items()]),
        "manifest-sha256.txt": "".join(
            f"{digest}  data/{_manifest_name(name)}\n" for name, (digest, _nbytes) in sorted(digests.items())
        ),
    }
    try:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        lines = (f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in texts.items())
        (folder / "tagmanifest-sha256.txt").write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise Failed(f"cannot write {folder}: {error.strerror}") from error


def _table(rows: Iterable[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _account(mount: Path) -> str:
    """Which account the mount shows, by what is no secret."""
    try:
        shown = tomllib.loads((mount / ".cffs/config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        shown = {}
    return f"CallFire account, profile {shown.get('profile') or 'default'}, {shown.get('v2_url') or 'unknown address'}"


def _manifest_name(name: str) -> str:
    """As RFC 8493 has it: line ends and `%` are escaped."""
    return name.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
