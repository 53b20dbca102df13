"""The request log: a frozen record of each request and its answer.

A request that is still being answered is in the log already, with status 0. It owns the records and their numbers, and
may be read from any thread. It must not know how an answer came about.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request. Times are of `time.monotonic`, so that tests can compare them with their own."""

    number: int
    connection: int
    """Connections are numbered from 1; requests with one number shared a socket."""
    started_at: float
    seconds: float | None = None
    """The time until the answer was sent; None before that."""
    method: str
    path: str
    """As sent, percent-encoded, without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    kind: str
    """The operationId, or `unknown`."""
    range: str | None
    """The Range header."""
    body_nbytes_received: int = 0
    body_sha256: str | None = None
    """Of the request's body, where all of it arrived; None for an empty one."""
    form: Mapping[str, str] = field(default_factory=dict)
    """The plain fields of a multipart body."""
    file_sha256: str | None = None
    """Of the bytes in the field `file`."""
    status: int = 0
    """0 before the answer, or where there was none."""
    body_nbytes: int = 0
    """The number of body bytes given to the socket."""
    body_crc: int | None = None
    """zlib.crc32 of those bytes where a fault hit the request, for comparison with the true bytes."""
    fault: str | None = None
    """The names of the faults that hit the request, joined by `+`."""


class RequestLog:
    """The records, oldest first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[int, RequestRecord] = {}
        self._next = 1

    def open(self, **fields: Any) -> int:
        """Add a record; returns its number."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._records[number] = RequestRecord(number=number, **fields)
            return number

    def change(self, number: int, **fields: Any) -> None:
        """Set fields of the record; nothing where it was cleared."""
        with self._lock:
            record = self._records.get(number)
            if record is not None:
                self._records[number] = replace(record, **fields)

    def snapshot(self) -> list[RequestRecord]:
        """All records."""
        with self._lock:
            return list(self._records.values())

    def clear(self) -> None:
        """Forget all records."""
        with self._lock:
            self._records.clear()

    def since(self, number: int) -> list[RequestRecord]:
        """The records numbered above `number`."""
        return [record for record in self.snapshot() if record.number > number]
