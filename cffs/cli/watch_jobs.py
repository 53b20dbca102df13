"""`cffs watch --exec`: a command for each new recording, some at once, each once.

It owns the running commands. It must not know where recordings come from.

A recording is not done while its command runs, and where it failed. After kill -9 a command that was running is run
again; none is ever left out.
"""

import shlex
import subprocess
import threading
from collections.abc import Callable

import click

from cffs.cli.messages import tell
from cffs.cli.watch_place import Place


def parse_command(text: str) -> tuple[str, ...]:
    """The words of a command; raises click.UsageError where it is none. No shell reads it: a path is one word of it,
    whatever characters it has."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise click.UsageError(f"--exec: {error}") from error
    if not words:
        raise click.UsageError("--exec takes a command, as in --exec 'whisper {}'")
    return words if any("{}" in word for word in words) else (*words, "{}")


class Jobs:
    """Commands of one watch, `at_once` of them at a time."""

    def __init__(self, command: tuple[str, ...], *, at_once: int, place: Place, keep: Callable[[Place], None]) -> None:
        """`keep` stores the place after each step; it is called by one thread at a time."""
        self._command = command
        self._free = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._place = place
        self._keep = keep
        self._threads: set[threading.Thread] = set()
        self.failed = 0

    def run(self, cursor: int, path: str) -> None:
        """Begin the command for a recording, once fewer than `at_once` run."""
        self._free.acquire()
        with self._lock:
            self._place.cursor = max(self._place.cursor, cursor)
            self._place.undone.add(cursor)
            self._keep(self._place)
        thread = threading.Thread(target=self._one, args=(cursor, path), daemon=True)
        self._threads.add(thread)
        thread.start()

    def wait(self) -> None:
        """Return once all that was begun has ended."""
        for thread in list(self._threads):
            thread.join()

    def _one(self, cursor: int, path: str) -> None:
        try:
            problem = self._problem([word.replace("{}", path) for word in self._command])
            with self._lock:
                if problem:
                    self.failed += 1
                    tell(f"{path}: {problem}; it is tried again at the next start")
                else:
                    self._place.undone.discard(cursor)
                self._keep(self._place)
        finally:
            self._threads.discard(threading.current_thread())
            self._free.release()

    @staticmethod
    def _problem(words: list[str]) -> str:
        try:
            status = subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode  # theirs
        except OSError as error:
            return f"cannot run {words[0]}: {error.strerror}"
        return "" if status == 0 else f"{words[0]} ended with status {status}"
