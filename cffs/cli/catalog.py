"""`cffs catalog add|import|list`: recordings that the service does not list.

It owns reading the texts and showing the progress. It must not know what a URL of a recording looks like
(`catalog/url_finder`). It asks no service and no daemon: a running mount sees the rows at its next listing.
"""

import codecs
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import click

from cffs.catalog.url_finder import Finding, UrlFinder
from cffs.catalog.url_import import CatalogFile, Tally, is_busy
from cffs.cli.groups import SuggestingGroup
from cffs.cli.messages import Failed, json_text, tell
from cffs.cli.options import given_options, load, settings_options
from cffs.core.errors import UsageError
from cffs.core.names import encode_name
from cffs.core.one_line import visible
from cffs.core.settings import Settings

_PIECE_NBYTES = 1 << 20
#: Time between two lines of progress.
_PROGRESS_SECONDS = 5.0
_BOMS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@click.group(cls=SuggestingGroup, short_help="Add recordings that nothing lists.", invoke_without_command=True)
@click.pass_context
def catalog(context: click.Context) -> None:
    """Recordings that no API lists: what is added here is shown in dynamic/ and recordings/."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


@catalog.command(short_help="Add URLs of recordings.")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON.")
@settings_options
def add(urls: tuple[str, ...], as_json: bool, **parameters: Any) -> int:
    """Add the recordings that these URLs name; keys in them are dropped, never kept."""
    text = "\n".join(urls).encode("utf-8", "surrogateescape") + b"\n"
    return _take([text], len(text), parameters, as_json=as_json)


@catalog.command("import", short_help="Add every URL in a file.")
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON.")
@settings_options
def import_(file: BinaryIO, as_json: bool, **parameters: Any) -> int:
    """Add every recording whose URL is in FILE (`-` for stdin): logs, CSV, JSON, XML of post-backs, any text.

    Only URLs of the configured service count; keys in them are dropped, never kept.
    """
    return _take(_pieces(file), _length(file), parameters, as_json=as_json)


@catalog.command("list", short_help="What was added or looked up.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@settings_options
def list_(as_json: bool, **parameters: Any) -> int:
    """List dynamic recordings that are known, and recordings and calls known by their id alone, as paths in the
    mount."""
    with opened_catalog(_settings(parameters)) as opened:
        paths = _paths(opened)
        if not as_json:
            for path in paths:
                click.echo(visible(path))
            return 0
        # a million paths are not held in memory
        start = "["
        for path in paths:
            click.echo(f"{start}\n  {json_text(path)}", nl=False)
            start = ","
        click.echo("[]" if start == "[" else "\n]")
    return 0


def _paths(opened: CatalogFile) -> Iterator[str]:
    for row in opened.dynamic_files():
        yield f"dynamic/{row.hash}/{row.year}/{row.month}/{row.campaign}/{encode_name(row.filename)}"
    for file_id in opened.imported_files():
        yield f"recordings/{file_id}.wav"
    for recording_id in opened.undescribed_recordings():
        yield f"recordings/{recording_id}.mp3"
    for call_id in opened.undescribed_calls():
        yield f"calls/{call_id}"


def _take(pieces: Iterable[bytes], length_nbytes: int | None, parameters: dict[str, Any], *, as_json: bool) -> int:
    settings = _settings(parameters)
    # a v2 login or password has no business in a path either, but may be a common word; the key is random
    secrets = (settings.credentials.apikey or "",)
    finder = UrlFinder(settings.v1_url, settings.v2_url, has_v2=settings.credentials.has_v2, secrets=secrets)
    tally = Tally()
    with opened_catalog(settings) as opened:
        reading = _Reading(pieces, length_nbytes, tally)
        for _ in opened.take(reading.findings(finder), tally):
            pass
    if as_json:
        click.echo(json_text({"found": tally.found, "new": tally.new, "refused": dict(tally.refused)}))
    else:
        click.echo(str(tally))
    return 0 if tally.found or not tally.refused else 1


class _Reading:
    """Feeds the finder and shows the progress: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, pieces: Iterable[bytes], length_nbytes: int | None, tally: Tally) -> None:
        self._pieces = pieces
        self._length_nbytes = length_nbytes
        self._tally = tally

    def findings(self, finder: UrlFinder) -> Iterator[Finding]:
        """Everything that the finder finds, in order."""
        done_nbytes, shown_at = 0, monotonic()
        bar = sys.stderr.isatty()
        for piece in self._pieces:
            yield from finder.feed(piece)
            done_nbytes += len(piece)
            if monotonic() - shown_at >= (_PROGRESS_SECONDS if not bar else 0.2):
                shown_at = monotonic()
                self._tell(done_nbytes, bar=bar)
        yield from finder.finish()
        if bar:
            sys.stderr.write("\r\x1b[K")

    def _tell(self, done_nbytes: int, *, bar: bool) -> None:
        share = f" ({done_nbytes * 100 // self._length_nbytes}%)" if self._length_nbytes else ""
        line = f"read {done_nbytes >> 20} MiB{share}, found {self._tally.found}, new {self._tally.new}"
        if bar:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        else:
            tell(line)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """The pieces of the file, with UTF-16 (as spreadsheets save it) decoded; any other encoding must contain ASCII."""
    first = file.read(_PIECE_NBYTES)
    encoding = _BOMS.get(first[:2])
    decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
    piece = first
    while piece:
        yield decoder.decode(piece).encode("utf-8", "replace") if decoder else piece
        piece = file.read(_PIECE_NBYTES)


def _length(file: BinaryIO) -> int | None:
    try:
        return Path(f"/proc/self/fd/{file.fileno()}").stat().st_size or None
    except OSError:
        return None


def _settings(parameters: dict[str, Any]) -> Settings:
    settings = load(given_options(parameters)).settings
    settings.require_credentials()
    return settings


@contextmanager
def opened_catalog(settings: Settings) -> Iterator[CatalogFile]:
    """Open the account's catalogue, made where there is none, also beside a mount that uses it.

    Raises Failed for what goes wrong with the catalogue. Any other exception of the block, such as that of a broken
    pipe, passes.
    """
    from cffs.daemon.account_folder import located

    path = located(settings).state / "catalog.sqlite"
    try:
        opened = _opened(settings, path)
        try:
            yield opened
        finally:
            opened.close()
    except sqlite3.Error as problem:
        if is_busy(problem):
            raise Failed("the catalogue is busy; what was found so far is kept, run it again") from problem
        raise Failed(f"cannot use {path}: {problem}") from problem


def _opened(settings: Settings, path: Path) -> CatalogFile:
    from cffs.catalog import schema
    from cffs.daemon.account_folder import taken

    try:
        try:
            with taken(settings, Path("(cffs catalog)")):
                schema.prepare(path, timezone=settings.timezone)
        except UsageError:
            if not path.exists():
                raise
            # a mount has it open, and prepared it
        opened = CatalogFile(path)
    except OSError as problem:
        raise Failed(f"cannot use {path}: {problem.strerror or problem}") from problem
    if not opened.is_current():
        opened.close()
        raise Failed("the running mount is of another version of cffs; remount with this one first")
    return opened
