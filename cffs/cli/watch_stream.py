"""`cffs watch --to` and `--from`: new recordings by a stream of the shared server.

A watcher puts what its mount finds; workers on any machine take it, each recording one of them.

It owns the worker's loop. It must not know how recordings are found, nor what the stream is made of.
"""

import signal
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from cffs.catalog.views import ViewRow
from cffs.cli.messages import Failed, tell
from cffs.cli.watch_place import Place, keep
from cffs.core.settings import Settings

if TYPE_CHECKING:  # imported where a stream is asked for
    from cffs.shared.recording_stream import RecordingStream, StreamEntry

#: How long the first answer of the server is waited for.
_FIRST_TRY_SECONDS = 5.0
#: How often a worker looks for work, and for the server.
_PAUSE_SECONDS = 1.0
#: How often it says that it is still at work: several times within the time after which it would count as dead.
_RENEW_SECONDS = 10.0


def require_server(settings: Settings) -> None:
    """Raise click.UsageError where no server is given."""
    if settings.shared is None:
        raise click.UsageError("--to and --from need a server; give --shared URL, or set CFFS_SHARED")


@asynccontextmanager
async def _opened_stream(settings: Settings, name: str) -> AsyncIterator["RecordingStream"]:
    from cffs.daemon.sharing import opened_server
    from cffs.shared.recording_stream import RecordingStream

    async with opened_server(settings, first_try_seconds=_FIRST_TRY_SECONDS) as server:
        yield RecordingStream(server, name)


class Sender:
    """Puts each recording of a watch on the stream. What could not be put is put at the next look."""

    failed = 0

    def __init__(self, settings: Settings, name: str, state: Path | None, place: Place) -> None:
        self._settings = settings
        self._name = name
        self._state = state
        self._problem = ""
        self.place = place

    def take(self, rows: Iterator[ViewRow]) -> None:
        """Put them, and keep the place after each. Raises Failed where it cannot be kept."""
        first = next(rows, None)
        if first is not None and (failure := trio.run(self._put, chain([first], rows))) is not None:
            raise failure

    def end(self, cursor: int) -> None:
        """There are no more. Raises Failed where they could not be put."""
        if self._problem:
            raise Failed(self._problem)
        self.place.cursor = cursor
        keep(self._state, self.place)

    async def _put(self, rows: Iterable[ViewRow]) -> Failed | None:
        from cffs.shared.recording_stream import StreamUnavailable

        async with _opened_stream(self._settings, self._name) as stream:
            try:
                for row in rows:
                    await stream.put(row.recording.id)
                    self._problem = ""
                    self.place.cursor = row.recording.seq
                    keep(self._state, self.place)
            except StreamUnavailable as problem:
                if not self._problem:
                    tell(f"the shared server cannot be had: {problem}; waiting for it")
                self._problem = f"the shared server cannot be had: {problem}"
            except Failed as failure:
                return failure  # raised here, it would come out within a group
        return None


class Worker:
    """Runs a command for each recording of a stream, some at once."""

    def __init__(self, where: Path, command: tuple[str, ...], *, at_once: int) -> None:
        self._where = where
        self._command = command
        self._at_once = at_once
        self._at_work: dict[bytes, StreamEntry] = {}
        self._ended = trio.Event()
        self._problem = ""
        self.failed = 0

    def run(self, settings: Settings, name: str, *, once: bool) -> None:
        """Work until SIGINT or SIGTERM, which end the commands that run, or with `once` until nothing is left.

        Raises Failed with `once` where the server cannot be had.
        """
        trio.run(partial(self._run, settings, name, once=once))
        if once and self._problem:
            raise Failed(self._problem)

    async def _run(self, settings: Settings, name: str, *, once: bool) -> None:
        async with _opened_stream(settings, name) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._end_by_signal, nursery.cancel_scope)
            nursery.start_soon(self._keep_renewing, stream)
            async with trio.open_nursery() as jobs:
                while await self._take(stream, jobs) or not once:
                    pass
            nursery.cancel_scope.cancel()

    @staticmethod
    async def _end_by_signal(scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _number in signals:
                scope.cancel()

    async def _take(self, stream: "RecordingStream", jobs: trio.Nursery) -> bool:
        """Begin the next command, once one may; False where there was no work, after a pause."""
        from cffs.shared.recording_stream import StreamUnavailable

        while len(self._at_work) >= self._at_once:
            self._ended = trio.Event()
            await self._ended.wait()
        try:
            entry = await stream.take()
            self._problem = ""
        except StreamUnavailable as problem:
            entry = None
            if not self._problem:
                tell(f"the shared server cannot be had: {problem}; waiting for it")
            self._problem = f"the shared server cannot be had: {problem}"
        if entry is None:
            await trio.sleep(_PAUSE_SECONDS)
            return False
        self._at_work[entry.place] = entry
        jobs.start_soon(self._one, stream, entry)
        return True

    async def _one(self, stream: "RecordingStream", entry: "StreamEntry") -> None:
        from cffs.shared.recording_stream import MOST_TRIES

        path = str(self._where / f"recordings/{entry.recording_id}.mp3")
        try:
            problem = await _problem([word.replace("{}", path) for word in self._command])
            if problem:
                self.failed += 1
                given_up = entry.tries >= MOST_TRIES
                tell(f"{path}: {problem}; {'given up' if given_up else 'a worker tries it again in a minute'}")
                if not given_up:
                    return
            await self._say_done(stream, entry, path)
        finally:
            del self._at_work[entry.place]
            self._ended.set()

    @staticmethod
    async def _say_done(stream: "RecordingStream", entry: "StreamEntry", path: str) -> None:
        """Take the entry off the stream. The server is asked until another worker may have the entry anyway."""
        from cffs.shared.recording_stream import SILENT_SECONDS, StreamUnavailable

        problem: StreamUnavailable | None = None
        is_said = False
        try:
            with trio.move_on_after(SILENT_SECONDS):
                while not is_said:
                    try:
                        await stream.done(entry)
                        is_said = True
                    except StreamUnavailable as trouble:
                        problem = trouble
                        await trio.sleep(_PAUSE_SECONDS)
        finally:
            if not is_said and problem is not None:
                tell(f"{path}: done, but the shared server cannot be had: {problem}; it may be done again")

    async def _keep_renewing(self, stream: "RecordingStream") -> None:
        from cffs.shared.recording_stream import StreamUnavailable

        while True:
            await trio.sleep(_RENEW_SECONDS)
            try:
                await stream.renew(self._at_work.values())
            except StreamUnavailable:
                pass  # the next one may come in time


async def _problem(words: list[str]) -> str:
    """Run the command, which is ended where this is cancelled; what is wrong with how it ended."""
    try:
        done = await trio.run_process(words, stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        return f"cannot run {words[0]}: {error.strerror}"
    return "" if done.returncode == 0 else f"{words[0]} ended with status {done.returncode}"
