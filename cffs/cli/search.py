"""`cffs search`: recordings by their words and by what is known of them.

It owns the lines of a hit. It must not know how a search is answered: it lists a folder of `search/` in a mount, and
reads the notes that lie in it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cffs.cli.messages import Failed, json_text, tell
from cffs.cli.mounts import absolute, cffs_mounts, place_in_mount
from cffs.cli.options import QuietOption
from cffs.cli.status import cffs_mount
from cffs.core.listed_names import id_in
from cffs.core.names import MAX_NAME_NBYTES
from cffs.core.one_line import visible
from cffs.notes.keys import split_note_name
from cffs.notes.transcript import MAX_TEXT_NBYTES, Cue, cues
from cffs.notes.words import parse_words, tokens
from cffs.tree.search_terms import FIELDS, BadSearch, parse_terms

#: Characters shown on either side of the first word that was found.
_AROUND = 40
#: What may stand in the name of a search as it is.
_SAFE = " :+*#@,.()'\"!?~"
#: Longer waits are not shown beside a hit without an end.
_OPEN_END_SECONDS = 10


#: Fields that the help leaves out, so that it fits a screen; search/README.txt in a mount has all.
_QUIET = frozenset({"result", "sample", "state"})


def _field_options(command: Any) -> Any:
    """An option for each field of a search, in the order in which the fields are documented."""
    for name in reversed([name for name in FIELDS if name != "text"]):
        kind = QuietOption if name in _QUIET else click.Option
        text = f"{FIELDS[name][:1].upper()}{FIELDS[name][1:]}."
        command = click.option(f"--{name}", metavar="VALUE", help=text, cls=kind)(command)
    return command


@click.command(short_help="Find recordings by words and facts.")
@click.argument("text", required=False, default="")
@click.option("--mount", "mountpoint", type=Path, help="In this mount.  [the only one]")
@click.option("--json", "as_json", is_flag=True, help="A JSON line for each hit.")
@_field_options
def search(text: str, mountpoint: Path | None, as_json: bool, **fields: str | None) -> int:
    """Find recordings whose notes hold all words and "quoted phrases" of TEXT. Each hit shows the words around it,
    their time, and a path that plays it. search/README.txt in the mount lists every field."""
    given = {name.replace("_", "-"): value for name, value in fields.items() if value is not None}
    if not text and not given:
        raise click.UsageError('give words to look for, or a field, such as --number; `cffs search "call back"`')
    name = query({"text": text} | given if text else given)
    try:
        parse_terms(name, zone=UTC)  # the mount has a zone of its own, and no way to say what is wrong
    except BadSearch as problem:
        raise click.UsageError(str(problem)) from problem
    where = mount_of(mountpoint)
    folder = where / "search" / name
    try:
        hits = list(_hits(where, folder, parse_words(text)))
    except FileNotFoundError as error:
        raise Failed(f"{where} has no search/: it takes the login of the v2 API") from error
    except OSError as error:
        raise Failed(f"cannot search in {where}: {error.strerror}; `cffs status {where}` says more") from error
    for hit in hits:
        click.echo(json_text(hit) if as_json else "\n".join(_lines(hit, text)))
    if not hits:
        tell("nothing was found")
    return 0


def query(fields: dict[str, str]) -> str:
    """The name of the folder of search/ that asks for the fields. Raises click.UsageError where that is too long."""
    name = "&".join(f"{field}={quote(value, safe=_SAFE)}" for field, value in fields.items())
    if len(name.encode()) > MAX_NAME_NBYTES:
        raise click.UsageError(f"a search has {MAX_NAME_NBYTES} bytes at most; ask for less at once")
    return name


def mount_of(mountpoint: Path | None) -> Path:
    """The mount that was named, or the one that holds the current folder, or the only one. Raises Failed."""
    if mountpoint is not None:
        return cffs_mount(absolute(mountpoint)).mountpoint
    with suppress(Failed):
        return place_in_mount(Path())[0].mountpoint
    mounts = {mount.device: mount.mountpoint for mount in cffs_mounts(of_everyone=False)}
    if not mounts:
        raise Failed("nothing is mounted; mount it first: cffs mount MOUNTPOINT")
    if len(mounts) > 1:
        raise Failed(f"there are several mounts; name one: --mount {next(iter(mounts.values()))}")
    return next(iter(mounts.values()))


def _hits(where: Path, folder: Path, terms: tuple[str, ...]) -> Iterator[dict[str, object]]:
    notes: dict[int, list[Path]] = {}
    recordings: dict[int, Path] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, _dot, extension = entry.name.rpartition(".")
            if (recording_id := id_in(stem)) is None:
                continue
            if extension in ("mp3", "wav"):
                recordings.setdefault(recording_id, Path(entry.path))
            elif split_note_name(entry.name) is not None:
                notes.setdefault(recording_id, []).append(Path(entry.path))
    for recording_id, path in recordings.items():
        read = (_in_note(where, recording_id, path, note, terms) for note in notes.get(recording_id, ()))
        # without words, or where the note changed since, the recording is the hit
        yield from list(chain.from_iterable(read)) or [_hit(where, recording_id, path)]


def _in_note(
    where: Path, recording_id: int, path: Path, note: Path, terms: tuple[str, ...]
) -> Iterator[dict[str, object]]:
    try:
        with note.open("rb") as file:
            content = file.read(MAX_TEXT_NBYTES)
    except OSError:
        return  # it was removed since
    found = list(cues(note.suffix.removeprefix("."), content))
    for first, last, term in _places(found, [tokens(term) for term in terms]):
        text = " ".join(cue.text for cue in found[first : last + 1])
        cue = Cue(found[first].start_seconds, found[last].stop_seconds, text)
        yield _hit(where, recording_id, path, note=note.name, cue=cue, words=term)


def _places(found: list[Cue], terms: list[list[str]]) -> list[tuple[int, int, list[str]]]:
    """Where a term begins: its first cue, its last cue and the term; one for each cue. A phrase may cross cues."""
    said = [(token, index) for index, cue in enumerate(found) for token in tokens(cue.text)]
    places: dict[int, tuple[int, list[str]]] = {}
    for term in filter(None, terms):
        for at in (at for at, (token, _index) in enumerate(said) if token == term[0]):
            part = said[at : at + len(term)]
            if [token for token, _index in part] == term:
                places.setdefault(part[0][1], (part[-1][1], term))
    return [(first, last, term) for first, (last, term) in sorted(places.items())]


def _hit(
    where: Path,
    recording_id: int,
    path: Path,
    *,
    note: str | None = None,
    cue: Cue | None = None,
    words: list[str] | None = None,
) -> dict[str, object]:
    plays, start, stop = where / f"recordings/{recording_id}{path.suffix}", None, None
    if cue is not None and cue.start_seconds is not None:
        start = cue.start_seconds
        stop = max(cue.stop_seconds or 0, start + 1) if cue.stop_seconds else start + _OPEN_END_SECONDS
        plays = where / f"recordings/{recording_id}@{_seconds(start)}-{_seconds(stop)}.wav"
    return {
        "id": recording_id,
        "recording": str(path),
        "note": note,
        "start": start,
        "stop": stop,
        "text": None if cue is None or words is None else _around(cue.text, words),
        "play": str(plays),
    }


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _around(text: str, words: list[str]) -> str:
    """The first of the words in its text, with what stands around it, on one line."""
    plain = " ".join(text.split())
    at = plain.casefold().find(words[0])
    start = max(0, (at if at >= 0 else 0) - _AROUND)
    stop = start + 2 * _AROUND + sum(map(len, words))
    return f"{'…' if start else ''}{plain[start:stop]}{'…' if stop < len(plain) else ''}"


def _lines(hit: dict[str, object], text: str) -> Iterator[str]:
    recording, start, found = str(hit["recording"]), hit["start"], hit["text"]
    yield visible(Path(recording).name)
    if found is not None:
        at = "" if not isinstance(start, float) else f"{int(start) // 60}:{int(start) % 60:02}  "
        yield f"  {at}{_highlighted(visible(str(found)), text)}"
    yield f"  {visible(str(hit['play']))}"


def _highlighted(found: str, text: str) -> str:
    """The words that were asked for in bold, on a terminal."""
    if not sys.stdout.isatty():
        return found
    wanted = {token for term in parse_words(text) for token in tokens(term)}
    return " ".join(click.style(word, bold=True) if set(tokens(word)) & wanted else word for word in found.split())
