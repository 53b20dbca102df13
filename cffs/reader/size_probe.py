"""The size of objects that are not open: one request each, in single flight.

It owns the requests on their way, however many callers wait for each, and the limit on how many run at a time. It must
not know paths, inodes or errnos.
"""

import copy

import trio

from cffs.callfire.request_limiter import MAX_BODIES, RequestLimiter
from cffs.core import demand, wait_reasons
from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, OriginFault, RangeNotSatisfiable
from cffs.core.source import Source
from cffs.core.values import Emptiness
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.first_source import first_of
from cffs.reader.object_info import Learned, require_empty
from cffs.reader.remote_file_table import RemoteFileTable

#: Sizes of a folder's worth of files are requested this many at a time.
_MOST_PROBES = 8


class _Probe:
    """One request for a size on its way, and the callers that wait for it."""

    __slots__ = ("answered", "callers", "error", "learned", "scope", "waits_for")

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.learned: Learned | None = None
        self.error: CffsError | None = None
        self.scope = trio.CancelScope()
        self.callers = demand.Callers()
        self.waits_for = wait_reasons.WaitReason()


class SizeProbes:
    """The probes of a mount, by object key."""

    def __init__(self, table: RemoteFileTable, dependencies: ReaderDependencies) -> None:
        self._table = table
        self._dependencies = dependencies
        self._running: dict[str, _Probe] = {}
        self._turns = RequestLimiter(_MOST_PROBES, most=MAX_BODIES)

    async def probe(self, key: str, sources: tuple[Source, ...]) -> Learned:
        """Return size and version of an object: from an open file, else by one request, however many callers wait.

        A checkpoint unless an open file knows. Cancelled, the request is dropped unless others wait for it. Raises
        CffsError.
        """
        file = self._table.sized(key)
        if file is not None:
            return file.tracker.learned(file.tracker.sources[0])
        probe = self._running.get(key) or self._begin(key, sources)
        caller = probe.callers.enter()
        try:
            with wait_reasons.waits_for(lambda: f"its size: {probe.waits_for.text()}"):
                await probe.answered.wait()
        finally:
            probe.callers.leave(caller)
            if not probe.callers and not probe.answered.is_set():
                probe.scope.cancel()
                if self._running.get(key) is probe:
                    del self._running[key]
        if probe.learned is None:
            error = probe.error or OriginFault("the question for a size ended unexpectedly")
            raise copy.copy(error) from error
        return probe.learned

    def probe_soon(self, key: str, sources: tuple[Source, ...]) -> None:
        """Begin the same request for a caller that is likely to want the size next, and does not wait for it.

        What it finds reaches the listener; an error is found again by the caller that really waits. Never a checkpoint.
        """
        if key not in self._running and self._table.sized(key) is None:
            self._begin(key, sources)

    def _begin(self, key: str, sources: tuple[Source, ...]) -> _Probe:
        probe = self._running[key] = _Probe()
        self._dependencies.background.start(self._run, key, sources, probe)
        return probe

    async def _run(self, key: str, sources: tuple[Source, ...], probe: _Probe) -> None:
        wait_reasons.begin(probe.waits_for)
        demand.begin(probe.callers.is_demand)
        try:
            with probe.scope:
                turn = await self._turns.enter()
                try:
                    probe.learned = self._table.probed(await self._ask(key, sources))
                finally:
                    self._turns.leave(turn)
        except CffsError as error:
            probe.error = error
            self._dependencies.histories.note_failure(key, error)
        finally:
            if self._running.get(key) is probe:
                del self._running[key]
            probe.answered.set()

    async def _ask(self, key: str, sources: tuple[Source, ...]) -> Learned:
        async def ask(source: Source) -> Learned:
            try:
                async with self._dependencies.opener.open_range(source, ByteRange(0, 1)) as answer:
                    if answer.total == 0:
                        self._require_empty(key, is_stated=False)
                    answer.publish()
                    return Learned(
                        key=key,
                        source=source,
                        total_nbytes=answer.total,
                        validator=answer.validator,
                        last_modified_ns=answer.last_modified_ns,
                    )
            except RangeNotSatisfiable as beyond:
                if beyond.total:
                    raise
                self._require_empty(key, is_stated=True)
                return Learned(key=key, source=source, total_nbytes=0, validator=None, last_modified_ns=None)

        return await first_of(key, sources, ask)

    def _require_empty(self, key: str, *, is_stated: bool) -> None:
        expected = self._dependencies.listener.emptiness(key)
        require_empty(key, expected if self._table.known(key) is None else Emptiness.DENIED, is_stated=is_stated)
