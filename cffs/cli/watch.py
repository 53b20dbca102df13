"""`cffs watch`: a JSON line for each recording as it appears.

It owns the line, and what `--since` means. It must not know how the mount learns of recordings: it reads the catalogue
that the mount keeps, and opening a folder makes the mount look, no oftener than its `--dir-ttl`. It sends no request;
where the mount ends, it waits for the next one.
"""

import json
import os
import signal
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

import click

from cffs.catalog.rows import RecordingRow
from cffs.catalog.url_import import CatalogFile
from cffs.catalog.views import Condition, ViewRow
from cffs.cli.catalog import opened_catalog
from cffs.cli.control import NoSocket, ask
from cffs.cli.messages import Failed, json_text, tell
from cffs.cli.mounts import absolute
from cffs.cli.options import complete_folder, given_options, load, settings_options
from cffs.cli.status import cffs_mount
from cffs.cli.watch_jobs import Jobs, parse_command
from cffs.cli.watch_notify import Notifications, NotShown
from cffs.cli.watch_place import Place, cursor_in, keep, kept_in
from cffs.cli.watch_stream import Sender, Worker, require_server
from cffs.core.listed_names import is_dated
from cffs.core.names import encode_name
from cffs.core.procfs import Mount
from cffs.core.settings import Settings
from cffs.core.times import date_folders, iso_utc
from cffs.core.units import NS_PER_MS
from cffs.daemon.mount_table import mount_at

_PAUSE_SECONDS = 1.0


@click.command(short_help="Print a line per new recording.")
@click.argument("mountpoint", type=Path, shell_complete=complete_folder)
@click.option("--since", metavar="CURSOR|start|DAY", help="From there on, instead of from now on.")
@click.option("--state", type=Path, metavar="FILE", help="Keep the place in FILE, and continue there.")
@click.option("--once", is_flag=True, help="Print what there is, and end.")
@click.option("--exec", "command", metavar="CMD", help="Run CMD for each instead; {} is its path.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, metavar="N", help="So many at once.  [1]")
@click.option("--notify", is_flag=True, help="Show desktop notifications instead.")
@click.option("--to", "sink", metavar="STREAM", help="Put each on this --shared stream instead.")
@click.option("--from", "source", metavar="STREAM", help="With --exec: take from there, once each.")
@settings_options
def watch(
    mountpoint: Path,
    since: str | None,
    state: Path | None,
    once: bool,
    command: str | None,
    jobs: int,
    notify: bool,
    sink: str | None,
    source: str | None,
    **parameters: Any,
) -> int:
    """Print a JSON line per recording as it appears at MOUNTPOINT, until Ctrl-C.

    Each line has a `cursor` for --since. --state keeps failed commands too.
    """
    if notify and command is not None:
        raise click.UsageError("--notify and --exec are two watches; start each by itself, with a --state of its own")
    if sink is not None and (notify or command is not None or source is not None):
        raise click.UsageError("--to puts recordings on a stream and does nothing else; others take them by --from")
    if source is not None and (command is None or since is not None or state is not None):
        raise click.UsageError("--from needs --exec, and takes no --since or --state: the stream keeps the place")
    words = None if command is None else parse_command(command)
    notifications = Notifications() if notify else None
    settings = load(given_options(parameters)).settings
    settings.require_credentials()
    if sink is not None or source is not None:
        require_server(settings)
    where = absolute(mountpoint)
    _require_account(settings, cffs_mount(where))
    if source is not None and words is not None:
        worker = Worker(where, words, at_once=jobs)
        worker.run(settings, source, once=once)
        return 1 if worker.failed else 0
    pause = threading.Event()
    lists_ids = _lists_ids(where, settings)
    with opened_catalog(settings) as opened:
        try:
            kept = kept_in(state) if since is None else None
            start = str(kept.cursor) if kept is not None else since
            _look(where)
            cursor, conditions = (0, []) if start is None else _start(start, opened.zone)
            if start is None:
                while not opened.is_listed() and not once:  # recordings that the first listing brings are not new
                    pause.wait(_PAUSE_SECONDS)
                    _look(where)
                cursor = opened.newest_seq()
            place = Place(cursor, set() if kept is None else kept.undone)
            if not conditions:  # a day is no place; the first line makes it one
                keep(state, place)
            lines = _Lines(opened, where, lists_ids=lists_ids)
            taker: _Taker = _Printed(lines, state, place)
            if words is not None:
                taker = _Run(lines, state, place, words, jobs)
            elif notifications is not None:
                taker = _Notified(lines, state, place, notifications)
            elif sink is not None:
                taker = Sender(settings, sink, state, place)
            _follow(taker, opened, where, conditions, once=once, pause=pause)
        except KeyboardInterrupt:
            return 0
    return 1 if taker.failed else 0


class _Printed:
    """Prints the line of each recording."""

    failed = 0

    def __init__(self, lines: "_Lines", state: Path | None, place: Place) -> None:
        self._lines = lines
        self._state = state
        self.place = place

    def take(self, rows: Iterator[ViewRow]) -> None:
        """Print their lines, and keep the place after each."""
        for row in rows:
            with _unbroken():
                click.echo(json_text(self._lines.line(row)))
                self.place.cursor = row.recording.seq
                keep(self._state, self.place)

    def end(self, cursor: int) -> None:
        """There are no more."""
        self.place.cursor = cursor
        keep(self._state, self.place)


class _Run:
    """Runs a command for each recording."""

    def __init__(
        self, lines: "_Lines", state: Path | None, place: Place, command: tuple[str, ...], at_once: int
    ) -> None:
        self._lines = lines
        self._state = state
        self.place = place
        self._jobs = Jobs(command, at_once=at_once, place=place, keep=partial(keep, state))
        for seq in sorted(place.undone):
            self.take(_new(lines.opened, seq - 1, [Condition("r.seq = ?", (seq,))]))

    @property
    def failed(self) -> int:
        """How many commands have failed."""
        return self._jobs.failed

    def take(self, rows: Iterator[ViewRow]) -> None:
        """Begin their commands; waits while as many run as may."""
        for row in rows:
            self._jobs.run(row.recording.seq, str(self._lines.line(row)["path"]))

    def end(self, cursor: int) -> None:
        """There are no more; returns once all commands have ended."""
        self._jobs.wait()
        self.place.cursor = cursor
        keep(self._state, self.place)


class _Notified:
    """Shows one desktop notification of all that is new at one look.

    What could not be shown is new at the next look again.
    """

    failed = 0

    def __init__(self, lines: "_Lines", state: Path | None, place: Place, notifications: Notifications) -> None:
        self._lines = lines
        self._state = state
        self._notifications = notifications
        self._problem = ""
        self.place = place

    def take(self, rows: Iterator[ViewRow]) -> None:
        """Show how many there are, and the newest; then keep the place."""
        newest: ViewRow | None = None
        count = 0
        for row in rows:
            newest, count = row, count + 1
        if newest is None:
            return
        try:
            self._notifications.show(self._lines.line(newest), count=count)
        except NotShown as problem:
            if not self._problem:
                tell(f"{problem}; waiting for it")
            self._problem = str(problem)
            return
        self._problem = ""
        self.place.cursor = newest.recording.seq
        keep(self._state, self.place)

    def end(self, cursor: int) -> None:
        """There are no more. Raises Failed where they could not be shown."""
        if self._problem:
            raise Failed(self._problem)
        self.place.cursor = cursor
        keep(self._state, self.place)


_Taker = _Printed | _Run | _Notified | Sender


def _follow(
    taker: _Taker,
    opened: CatalogFile,
    where: Path,
    conditions: list[Condition],
    *,
    once: bool,
    pause: threading.Event,
) -> None:
    is_there = True
    while True:
        newest = opened.newest_seq()
        taker.take(_new(opened, taker.place.cursor, conditions))
        if once:
            taker.end(max(taker.place.cursor, newest))
            return
        pause.wait(_PAUSE_SECONDS)
        was_there, is_there = is_there, _look(where)
        if was_there != is_there:
            tell(f"{where} is mounted again" if is_there else f"{where} is not mounted now; waiting for it")


@contextmanager
def _unbroken() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the end of the block, so that the next watch does not repeat a printed line.

    After kill -9 between the two steps a line is repeated; none is ever lost.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _new(opened: CatalogFile, cursor: int, conditions: list[Condition]) -> Iterator[ViewRow]:
    while rows := opened.views.matching(conditions, folders=[], after_seq=cursor):
        yield from rows
        cursor = rows[-1].recording.seq


def _start(since: str, zone: tzinfo) -> tuple[int, list[Condition]]:
    """The place and the conditions of --since. Days and times without an offset are of `zone`, as those in names."""
    if since == "start":
        return 0, []
    if (cursor := cursor_in(since)) is not None:
        return cursor, []
    try:
        day = datetime.fromisoformat(since)
    except ValueError as error:
        raise click.UsageError("--since takes a cursor, `start`, or a day like 2026-11-22") from error
    made = day if day.tzinfo is not None else day.replace(tzinfo=zone)
    return 0, [Condition("+r.created_ms >= ?", (int(made.timestamp() * 1000),))]


class _Lines:
    """The lines of the recordings of one mount. With `lists_ids` paths are spelt by ids, else as listings show them."""

    def __init__(self, opened: CatalogFile, where: Path, *, lists_ids: bool) -> None:
        self.opened = opened
        self.where = where
        self._lists_ids = lists_ids

    def line(self, row: ViewRow) -> dict[str, object]:
        """The line of a recording, as JSON can carry it."""
        recording = row.recording
        return {
            "cursor": recording.seq,
            "path": str(self.where / (self._path_of_ids(recording) if self._lists_ids else self._path(recording))),
            "id": recording.id,
            "call_id": recording.call_id or None,
            "campaign_id": recording.campaign_id or None,
            "name": encode_name(recording.name),
            "from": row.from_number or None,
            "to": row.to_number or None,
            "inbound": row.inbound,
            "created": iso_utc(recording.created_ms),
            "seconds": recording.seconds,
            "state": recording.state.value,
            "labels": self.opened.views.labels(recording.id),
        }

    def _path(self, recording: RecordingRow) -> str:
        """The path in its campaign, else in its day; a recording that has neither is listed by its id alone."""
        name = f"{recording.listed}.mp3"
        if recording.campaign_id:
            folder = self.opened.campaign_folder(recording.campaign_id)
            return f"campaigns/{folder or recording.campaign_id}/{name}"
        if recording.created_ms is not None and is_dated(recording.created_ms):
            return "/".join(("by-date", *date_folders(recording.created_ms * NS_PER_MS, zone=self.opened.zone), name))
        return f"recordings/{recording.id}.mp3"

    @staticmethod
    def _path_of_ids(recording: RecordingRow) -> str:
        if not recording.call_id:
            return f"recordings/{recording.id}.mp3"
        folder = f"campaigns/{recording.campaign_id}" if recording.campaign_id else "calls"
        return f"{folder}/{recording.call_id}/{recording.stem}.mp3"


def _lists_ids(where: Path, settings: Settings) -> bool:
    """True where the mount lists ids. The mount knows, for its options may differ from this command's."""
    try:
        names = tomllib.loads((where / ".cffs/config.toml").read_text(encoding="utf-8")).get("names")
    except (OSError, ValueError):
        names = None
    return (settings.names if names is None else names) == "ids"


def _look(where: Path) -> bool:
    """Have the mount look for new recordings, where that is due. True where the mount is there."""
    mount = mount_at(where)
    if mount is None or not mount.is_cffs:
        return False
    try:
        os.close(os.open(where / "recordings", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return mount_at(where) is not None  # the service fails: what is known is all there is
    return True


def _require_account(settings: Settings, mount: Mount) -> None:
    """Raise Failed unless the options and credentials given here are those of the mount.

    Another account has another catalogue.
    """
    from cffs.daemon.account_folder import located

    where = mount.mountpoint
    try:
        answer = ask(mount, "hello")  # the daemon's own name of it: it may have been moved since, or be a bind mount
    except NoSocket:
        answer = None
    name = answer.get("mountpoint") if isinstance(answer, dict) else str(where)
    try:
        holder = json.loads((located(settings).cache / "lock").read_bytes() or b"{}")
    except (OSError, ValueError):
        holder = {}
    if not isinstance(holder, dict) or holder.get("mountpoint") != name:
        raise Failed(f"{where} is a mount of another account or cache folder; give this command the mount's options")
