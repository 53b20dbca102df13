"""The file of `--audit-log`: a JSON line for each recording opened.

The file is written beside the mount. A line goes into a bounded queue, and a thread writes it, so that a slow or full
disk costs lines, and never delays a read. What was lost is reported by one line in the mount's log and, once the file
can be written again, by one in the file itself.

Owns the file and its rotation. It must not know the kernel or what is read.
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

#: A line has some 200 bytes, so a file has 300,000 lines; there are ten files.
ROTATE_NBYTES = 64 * 2**20
KEPT_FILES = 9
#: Lines that wait for the disk, 2 MB; more than any burst of closes makes.
_MOST_WAITING = 10_000
_LINES_AT_ONCE = 256
#: The mount ends within 2 s (`cffs/docs/semantics.md#ends`), whatever the disk does.
_LAST_WRITE_SECONDS = 1.0


class AuditLog:
    """The log of one mount. `note` may be called from any thread; only the log's own thread touches the file."""

    def __init__(self, path: Path, *, rotate_nbytes: int = ROTATE_NBYTES, most_waiting: int = _MOST_WAITING) -> None:
        """Open the file, with mode 0600 and our owner. Raises UsageError, one line, where that is impossible."""
        self._path = path
        self._rotate_nbytes = rotate_nbytes
        self._descriptor = open_to_append(path, option="--audit-log")
        self._waiting: queue.Queue[str | None] = queue.Queue(most_waiting)
        self._counting = threading.Lock()
        self._lost = 0
        self._is_failing = False
        self._thread = threading.Thread(target=self._write_forever, name="audit-log", daemon=True)

    def note(self, fields: Mapping[str, object]) -> None:
        """Have a line with these fields written soon. Never waits, never raises."""
        try:
            self._waiting.put_nowait(json.dumps(fields, ensure_ascii=True, separators=(",", ":")) + "\n")
        except queue.Full:
            self._lose(1, "the disk does not keep up")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write for the length of the block. At its end the lines that wait are written, if the disk takes them in
        time."""
        self._thread.start()
        try:
            yield
        finally:
            with suppress(queue.Full):  # the disk hangs: the thread ends with the process
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
        lost_line = f'{{"lost":{lost}}}\n' if lost else ""
        try:
            self._renew_file()
            self._append("".join((lost_line, *lines)).encode("ascii"))
        except (OSError, UsageError) as error:
            self._lose(len(lines), error.strerror if isinstance(error, OSError) else str(error))
            return
        with self._counting:
            self._lost -= lost
            was_failing, self._is_failing = self._is_failing, False
        if was_failing:
            log.warning("audit log is written again file=%s lost=%d", self._path, lost)

    def _append(self, data: bytes) -> None:
        """Append all of the data or none of it: half a line would spoil the next one too."""
        before = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, data)
        if written < len(data):
            os.ftruncate(self._descriptor, before)
            raise OSError(0, "the file system is full")

    def _renew_file(self) -> None:
        """Open a new file at the path where the one that is open was moved away (logrotate) or has become too long."""
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


@contextmanager
def open_audit_log(path: Path | None) -> Iterator[AuditLog | None]:
    """The audit log at the path, which writes for the length of the block; None without a path. Raises UsageError where
    it cannot be written."""
    if path is None:
        yield None
        return
    audit = AuditLog(path)
    with audit.writing():
        yield audit
