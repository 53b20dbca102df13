"""`--audit-log FILE`: one JSON line for each recording that was opened, written beside the mount and never in its way.

It must not know the kernel or what is read. `daemon/audited_operations` notes the lines; `daemon/mount` opens it.

A line goes into a bounded queue and a thread writes it: a slow or full disk costs lines, never a read. What was lost is
told by one line in the mount's log and, once the file can be written again, by one in the file itself.
"""

import json
import logging
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cffs.core.errors import UsageError
from cffs.daemon.hardening import open_to_append

log = logging.getLogger(__name__)

#: A line has some 200 bytes: 300,000 of them a file, and ten files.
ROTATE_NBYTES = 64 * 2**20
KEPT_FILES = 9
#: 2 MB of lines waiting for the disk; more than any burst of closes.
_MOST_WAITING = 10_000
_LINES_AT_ONCE = 256
#: The mount ends within 2 s (contract section 10), whatever the disk does.
_LAST_WRITE_SECONDS = 1.0


class AuditLog:
    """See the module. `note` may be called from any thread; the file belongs to one of its own."""

    def __init__(self, path: Path, *, rotate_nbytes: int = ROTATE_NBYTES, most_waiting: int = _MOST_WAITING) -> None:
        """Opens the file, 0600 and ours. Raises UsageError, one line, where that cannot be."""
        self._path = path
        self._rotate_nbytes = rotate_nbytes
        self._descriptor = open_to_append(path, option="--audit-log")
        self._waiting: queue.Queue[str | None] = queue.Queue(most_waiting)
        self._counting = threading.Lock()
        self._lost = 0
        self._is_failing = False
        self._thread = threading.Thread(target=self._write_forever, name="audit-log", daemon=True)

    def note(self, fields: Mapping[str, object]) -> None:
        """Have that line written soon; never waits, never raises."""
        try:
            self._waiting.put_nowait(json.dumps(fields, ensure_ascii=True, separators=(",", ":")) + "\n")
        except queue.Full:
            self._lose(1, "the disk does not keep up")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write for the length of the block; at its end what waits is written, where the disk takes it in time."""
        self._thread.start()
        try:
            yield
        finally:
            with suppress(queue.Full):  # then the disk hangs: the thread dies with the process
                self._waiting.put(None, timeout=_LAST_WRITE_SECONDS)
            self._thread.join(_LAST_WRITE_SECONDS)

    def _write_forever(self) -> None:
        while (line := self._waiting.get()) is not None:
            lines = [line]
            with suppress(queue.Empty):
                while len(lines) < _LINES_AT_ONCE and (line := self._waiting.get_nowait()) is not None:
                    lines.append(line)
            self._write(lines)
            if line is None:
                break
        os.close(self._descriptor)

    def _write(self, lines: list[str]) -> None:
        lost = self._lost
        told = f'{{"lost":{lost}}}\n' if lost else ""
        try:
            self._take_the_right_file()
            self._append("".join((told, *lines)).encode("ascii"))
        except (OSError, UsageError) as error:
            self._lose(len(lines), error.strerror if isinstance(error, OSError) else str(error))
            return
        with self._counting:
            self._lost -= lost
            was_failing, self._is_failing = self._is_failing, False
        if was_failing:
            log.warning("audit log is written again file=%s lost=%d", self._path, lost)

    def _append(self, data: bytes) -> None:
        """All of it or nothing: half a line would spoil the next one too."""
        before = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, data)
        if written < len(data):
            os.ftruncate(self._descriptor, before)
            raise OSError(0, "the file system is full")

    def _take_the_right_file(self) -> None:
        """The file at the path, anew where somebody moved it away (logrotate) or it has become too long."""
        found = os.fstat(self._descriptor)
        if found.st_size >= self._rotate_nbytes:
            for number in range(KEPT_FILES, 0, -1):
                older = self._numbered(number - 1)
                if older.exists():
                    older.replace(self._numbered(number))
        try:
            is_there = os.path.samestat(found, self._path.lstat())
        except FileNotFoundError:
            is_there = False
        if not is_there:
            fresh = open_to_append(self._path, option="--audit-log")
            os.close(self._descriptor)
            self._descriptor = fresh

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _lose(self, lines: int, reason: str | None) -> None:
        with self._counting:
            self._lost += lines
            was_failing, self._is_failing = self._is_failing, True
        if not was_failing:
            log.warning("audit log loses lines, reads go on file=%s reason=%s", self._path, reason)
