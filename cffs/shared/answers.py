"""Answers about metadata that machines share: one of them asks for all.

A transport in front of another one. It shares the answers to questions about calls, campaigns, recordings and media;
never one about the account itself or its credentials, never bytes, and no refusal or error. An answer is shared once
its reader has accepted it, for no longer than a machine would reuse it by itself, and every use of it knows how long
ago it was asked for. So a list that another machine got counts as old as it is.

While one machine asks, the others wait for its answer, as long as it is alive and their patience lasts. What this
machine itself changed at the service is seen at once: no answer that was asked for before is used after it.

It owns which questions are shared and for how long. It must not know what an answer says.
"""

import json
import zlib
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from cffs.callfire.metadata_transport import MetadataTransport
from cffs.callfire.response_checks import NotFoundMeans
from cffs.callfire.status_reader import Response
from cffs.callfire.transport import MAX_METADATA_NBYTES, Query
from cffs.core.background import Background
from cffs.core.errors import CffsError
from cffs.core.source import Api
from cffs.core.units import MS_PER_SECOND
from cffs.core.wait_reasons import waits_for
from cffs.shared.leases import LEASE_SECONDS, FetchLease, Holder, Leases
from cffs.shared.sealed_values import read_aged, sealed, seed_of
from cffs.shared.server import MAX_VALUE_NBYTES, SharedServer
from cffs.shared.write_queue import WriteQueue

#: How often the answer of another machine is looked for, at first and at most.
_FIRST_PAUSE_SECONDS: Final = 0.005
_LONGEST_PAUSE_SECONDS: Final = 0.05
#: How long another machine's answer is waited for, as a share of the timeout: a page of a thousand calls may take
#: seconds.
_PATIENCE_SHARE: Final = 1 / 3
#: The lists of one call are asked for again after this long where a file is missing in them
#: (`catalog/single_flight.MISSING_SECONDS`).
_CALL_SECONDS: Final = 30.0
#: A recording in progress is asked about each second (`tree/calls_in_progress`).
_IN_PROGRESS_SECONDS: Final = 1.0
_IN_PROGRESS: Final = b'"RECORDING"'
#: A larger body is packed in a thread: a page of a thousand calls takes some 20 ms.
_PACKED_HERE_NBYTES: Final = 64 * 1024
#: A page of a thousand calls (1 MB) becomes 100 KB in 18 ms; the fastest level makes 140 KB of it in 8 ms.
_LEVEL: Final = 6
_HEAD_END: Final = b"\n"
_HTTP_OK: Final = 200


@dataclass(slots=True)
class AnswerCounts:
    """What machines shared of answers since the mount, for the status. `alone` counts the questions that were asked
    whatever another machine asks: the server did not answer in time, or that machine was too slow."""

    hit: int = 0
    asked: int = 0
    put: int = 0
    followed: int = 0
    alone: int = 0


@dataclass(slots=True)
class _Asking:
    """A question that this machine asks for all."""

    lease: FetchLease
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A question that is shared: its name, and how long its answer lasts."""

    name: str
    seconds: float
    is_single: bool


def shared_question(
    api: Api, segments: tuple[str, ...], query: tuple[tuple[str, str], ...], accept: str, *, ttl_seconds: float
) -> _Question | None:
    """The question as it is shared; None for one that is never. `ttl_seconds` is how long a listing is young. Pure."""
    match api, segments:
        case Api.V2, ("calls",) | ("calls", "broadcasts") | ("media",):
            seconds, is_single = ttl_seconds, False
        case Api.V2, ("calls", call_id, "recordings") if call_id.isdecimal():
            seconds, is_single = min(ttl_seconds, _CALL_SECONDS), False
        case Api.V2, ("calls" | "media", ident) | ("calls", "recordings" | "broadcasts", ident) if ident.isdecimal():
            seconds, is_single = ttl_seconds, True
        case Api.V2, ("calls", call_id, "recordings", _name) if call_id.isdecimal():
            seconds, is_single = ttl_seconds, True
        case Api.V1, ("files", "recording", "list", _campaign, _call):
            seconds, is_single = min(ttl_seconds, _CALL_SECONDS), False
        case _:
            return None
    if seconds <= 0:
        return None
    name = json.dumps([api, segments, sorted(query), accept])
    return _Question(name=name, seconds=seconds, is_single=is_single)


def packed(answer: Response, *, spent_seconds: float, lasts_seconds: float) -> bytes:
    """An answer as it is kept: it was asked for `spent_seconds` before it is put, and lasts so long from then on.
    Pure."""
    head = {
        "type": answer.content_type,
        "served": answer.served_ms,
        "spent": int(spent_seconds * MS_PER_SECOND),
        "lasts": int(lasts_seconds * MS_PER_SECOND),
    }
    return json.dumps(head).encode("ascii") + _HEAD_END + zlib.compress(answer.body, _LEVEL)


def unpacked(data: memoryview, *, left_ms: int, max_nbytes: int) -> Response | None:
    """The answer of a value that has `left_ms` to last; None for what is none. Pure."""
    line, _, body = bytes(data).partition(_HEAD_END)
    try:
        head = json.loads(line)
        kind, served_ms, spent_ms, lasts_ms = (head[name] for name in ("type", "served", "spent", "lasts"))
        unpacker = zlib.decompressobj()
        found = unpacker.decompress(body, max_nbytes)
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error):
        return None
    numbers = (spent_ms, lasts_ms, 0 if served_ms is None else served_ms)
    if not unpacker.eof or not isinstance(kind, str) or any(type(number) is not int for number in numbers):
        return None
    age_ms = max(0, spent_ms) + max(0, lasts_ms - left_ms)
    return Response(
        status=_HTTP_OK, body=found, content_type=kind, served_ms=served_ms, age_seconds=age_ms / MS_PER_SECOND
    )


class SharedAnswers:
    """A transport whose answers machines share; acts pass through it."""

    def __init__(
        self,
        transport: MetadataTransport,
        server: SharedServer,
        queue: WriteQueue,
        background: Background,
        *,
        counts: AnswerCounts,
        ttl_seconds: float,
        timeout_seconds: float,
    ) -> None:
        """`ttl_seconds` is how long a listing is young, `timeout_seconds` how long a call may take in all."""
        self.counts = counts
        self._transport = transport
        self._server = server
        self._leases = Leases(server, queue)
        self._queue = queue
        self._background = background
        self._ttl_seconds = ttl_seconds
        self._patience_seconds = timeout_seconds * _PATIENCE_SHARE
        self._acted_at = float("-inf")

    async def get(
        self,
        api: Api,
        segments: tuple[str, ...],
        *,
        query: Query = (),
        accept: str = "application/json",
        max_nbytes: int = MAX_METADATA_NBYTES,
        as_account: bool = False,
        not_found: NotFoundMeans = NotFoundMeans.OBJECT,
        proves_credentials: bool = False,
        require: Callable[[bytes], None] | None = None,
    ) -> Response:
        """See Transport.get."""
        pairs = tuple(query.items() if hasattr(query, "items") else query)
        ask = partial(
            self._transport.get,
            api,
            segments,
            query=pairs,
            accept=accept,
            max_nbytes=max_nbytes,
            as_account=as_account,
            not_found=not_found,
            proves_credentials=proves_credentials,
            require=require,
        )
        question = shared_question(api, segments, pairs, accept, ttl_seconds=self._ttl_seconds)
        if question is None or as_account or proves_credentials:
            return await ask()
        found = await self._found(question, max_nbytes, require) if self._server.is_up else None
        if isinstance(found, Response):
            self.counts.hit += 1
            return found
        self.counts.asked += 1
        self.counts.alone += found is None
        asked_at, asking = trio.current_time(), None
        if found is not None:
            asking = _Asking(found)
            self._background.start(self._stay_alive, asking)
        try:
            answer = await ask()
        except BaseException:
            self._give_back(question.name, found)
            raise
        finally:
            if asking is not None:
                asking.is_over = True
        return replace(answer, accept=partial(self._accepted, question, answer, asked_at, found))

    async def send(
        self,
        method: str,
        api: Api,
        segments: tuple[str, ...],
        *,
        content: bytes | AsyncIterable[bytes] | None = None,
        content_type: str = "application/json",
        content_nbytes: int | None = None,
        as_account: bool = False,
    ) -> Response:
        """See Transport.send. What was asked for before its end is not used any more."""
        try:
            return await self._transport.send(
                method,
                api,
                segments,
                content=content,
                content_type=content_type,
                content_nbytes=content_nbytes,
                as_account=as_account,
            )
        finally:
            self._acted_at = trio.current_time()

    # -- another machine's answer --

    async def _found(
        self, question: _Question, max_nbytes: int, require: Callable[[bytes], None] | None
    ) -> Response | FetchLease | None:
        """An answer that another machine got; else the lease to ask with, or None to ask without one.

        A checkpoint, of 50 ms at most unless another machine asks the question. It raises nothing.
        """
        pause, began_at, is_waiting = _FIRST_PAUSE_SECONDS, trio.current_time(), False
        while True:
            taken = await self._look(question, max_nbytes, require, is_again=is_waiting)
            if not isinstance(taken, Holder):
                return taken
            if trio.current_time() - began_at >= self._patience_seconds or taken.idle_seconds >= LEASE_SECONDS:
                return None
            self.counts.followed += not is_waiting
            is_waiting = True
            with waits_for("another machine that asks this"):
                await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _look(
        self,
        question: _Question,
        max_nbytes: int,
        require: Callable[[bytes], None] | None,
        *,
        is_again: bool,
    ) -> Response | FetchLease | Holder | None:
        look = self._server.look()
        answer = await look.within(self._read(question, max_nbytes, require))
        if answer is not None:
            return answer
        taken = await look.within(self._leases.take(self._server.key("leases", question.name), 0, 1))
        if is_again and isinstance(taken, FetchLease):  # its holder may have put the answer since
            answer = await look.within(self._read(question, max_nbytes, require))
            if answer is not None:
                self._give_back(question.name, taken)
                return answer
        return taken if isinstance(taken, FetchLease | Holder) else None

    async def _read(
        self, question: _Question, max_nbytes: int, require: Callable[[bytes], None] | None
    ) -> Response | None:
        key, seed = self._server.key("answer", question.name), seed_of(self._server.key, question.name)
        found = await read_aged(self._server, key, seed=seed, most_nbytes=MAX_VALUE_NBYTES)
        answer = None if found is None else unpacked(found[0], left_ms=found[1], max_nbytes=max_nbytes)
        if answer is None or answer.age_seconds >= question.seconds:
            return None
        if trio.current_time() - answer.age_seconds <= self._acted_at:
            return None  # from before this machine's own act
        if require is not None:
            try:
                require(answer.body)
            except CffsError:
                return None
        return answer

    # -- this machine's answer --

    async def _stay_alive(self, asking: _Asking) -> None:
        """Renew a lease while its question is under way: the others wait for a machine that is alive."""
        while not asking.is_over:
            await trio.sleep(LEASE_SECONDS / 4)
            if not asking.is_over:
                await self._leases.renew(asking.lease, 0)

    def _accepted(self, question: _Question, answer: Response, asked_at: float, lease: FetchLease | None) -> None:
        if answer.status == _HTTP_OK and asked_at > self._acted_at:
            self._queue.add(question.name, partial(self._put, question, answer, asked_at), nbytes=len(answer.body))
        self._give_back(question.name, lease)

    def _give_back(self, lane: str, lease: FetchLease | None) -> None:
        if lease is not None:
            self._queue.add(lane, partial(self._leases.give_back, lease))

    async def _put(self, question: _Question, answer: Response, asked_at: float) -> None:
        is_in_progress = question.is_single and _IN_PROGRESS in answer.body
        seconds = _IN_PROGRESS_SECONDS if is_in_progress else question.seconds
        spent_seconds = trio.current_time() - asked_at
        lasts_seconds = min(seconds, question.seconds) - spent_seconds
        if lasts_seconds <= 0:
            return
        pack = partial(packed, answer, spent_seconds=spent_seconds, lasts_seconds=lasts_seconds)
        data = await trio.to_thread.run_sync(pack) if len(answer.body) > _PACKED_HERE_NBYTES else pack()
        value = sealed(data, seed=seed_of(self._server.key, question.name))
        key = self._server.key("answer", question.name)
        self.counts.put += await self._server.write(key, value, ttl_seconds=lasts_seconds)
