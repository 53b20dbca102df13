"""What was asked of the stand-in and what it did: one frozen record per request, readable from any thread.

This module owns the record and its numbering; a request that is still being answered is there already, status 0.
It must not know how an answer came about.
`server` writes it; tests count, search and clear it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request. Times are of `time.monotonic`, so that a test's own stopwatch can be compared with them."""

    number: int
    connection: int
    """Connections are numbered from 1: equal numbers shared one socket."""
    started_at: float
    seconds: float | None = None
    """How long the answer took to send; None while it is being sent."""
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
    """Of the request's body, where all of it came; None for an empty one."""
    form: Mapping[str, str] = field(default_factory=dict)
    """The plain fields of a multipart body."""
    file_sha256: str | None = None
    """Of the bytes in its field `file`."""
    status: int = 0
    """0 while it is being answered, or where nothing was answered."""
    body_nbytes: int = 0
    """Body bytes that were handed to the socket."""
    body_crc: int | None = None
    """zlib.crc32 of those bytes where a fault hit the request: what a test compares with the truth."""
    fault: str | None = None
    """The names of the faults that hit it, joined by `+`."""


class RequestLog:
    """The records, oldest first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[int, RequestRecord] = {}
        self._next = 1

    def open(self, **fields: Any) -> int:
        """A new record's number."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._records[number] = RequestRecord(number=number, **fields)
            return number

    def change(self, number: int, **fields: Any) -> None:
        """The record has these fields from now on; nothing happens when it was cleared away."""
        with self._lock:
            record = self._records.get(number)
            if record is not None:
                self._records[number] = replace(record, **fields)

    def snapshot(self) -> list[RequestRecord]:
        """All records."""
        with self._lock:
            return list(self._records.values())

    def clear(self) -> None:
        """Forgets all records."""
        with self._lock:
            self._records.clear()

    def since(self, number: int) -> list[RequestRecord]:
        """The records numbered above `number`."""
        return [record for record in self.snapshot() if record.number > number]
