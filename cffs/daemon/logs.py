"""Where log lines go and what they look like: stderr, syslog or a file; text or JSON; never a secret in any of them,
and nothing that a terminal would obey or that looks like another line.

It must not know who logs. `daemon/main` calls `configure` once, before anything else logs. Both are seen to in the
handlers' formatter, the last thing before the bytes leave: so it covers loggers of libraries that nobody named here.
"""

import logging
import logging.handlers
import os
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from cffs.core.one_line import visible, visible_json
from cffs.core.settings import Settings
from cffs.daemon.hardening import open_to_append
from cffs.daemon.redaction import Redactor

#: They log whole URLs, headers and bodies below WARNING.
_TALKATIVE = ("httpx", "httpcore", "h11", "trio", "asyncio")
_SYSLOG_SOCKET = Path("/dev/log")
#: A line longer than this is a body that somebody logged.
_LONGEST_LINE = 16_384
#: Before each line of a traceback: what its exception says may hold line ends, and none of them begins an entry.
_INDENT = "    "


class RedactingFormatter(logging.Formatter):
    """Formats a record (message, arguments, exception, stack), takes the secrets out of the text, and spells out what
    is not printable in it."""

    def __init__(self, redactor: Redactor, *, line_format: str, as_json: bool) -> None:
        super().__init__(line_format)
        self._redactor = redactor
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """One text entry of one line (a traceback adds more, indented), or one JSON line."""
        if not self._as_json:
            return super().format(record)[:_LONGEST_LINE]
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redactor(record.getMessage()),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = self.formatStack(record.stack_info)
        # each value on its own: JSON's escapes would otherwise hide a secret from the redactor
        return visible_json({name: text[:_LONGEST_LINE] for name, text in entry.items()}, is_ascii=True)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The first line."""
        return visible(self._redactor(super().formatMessage(record)))

    def formatException(self, ei: object) -> str:  # noqa: N802  # logging's name
        """The traceback, redacted by itself: logging keeps this text on the record, where other handlers find it."""
        return self._below(super().formatException(ei))  # type: ignore[arg-type]  # logging's own union

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # logging's name
        """Where it was logged."""
        return self._below(super().formatStack(stack_info))

    def _below(self, text: str) -> str:
        return "\n".join(_INDENT + visible(line) for line in self._redactor(text).split("\n"))


class _QuietHandlerErrors:
    """Mixed into each handler: a record that cannot be written is dropped, not printed with its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Says that a line was lost, never what it held."""
        try:
            sys.stderr.write(f"cffs: a log line of {record.name} could not be written\n")
        except (OSError, ValueError, AttributeError):
            return  # stderr is gone too (full disk, closed terminal, none): logging must never fail its caller


class _StreamHandler(_QuietHandlerErrors, logging.StreamHandler[TextIO]):
    pass


class _FileHandler(_StreamHandler):
    """Owns its stream, unlike the one for stderr."""

    def close(self) -> None:
        """Closes the file too."""
        super().close()
        self.stream.close()


class _SysLogHandler(_QuietHandlerErrors, logging.handlers.SysLogHandler):
    pass


def configure(settings: Settings, *, redactor: Redactor | None = None) -> None:
    """Makes the root logger write to exactly one place, redacted; warnings of Python go there too.

    Raises UsageError where `--log-file` cannot be used.
    """
    handler, line_format = _handler(settings)
    handler.setFormatter(
        RedactingFormatter(
            redactor or Redactor(settings.credentials),
            line_format=line_format,
            as_json=settings.log_format == "json",
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if settings.debug else settings.log_level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)  # to the same handlers, so redacted too
    warnings.simplefilter("default" if settings.debug else "ignore")
    # a logger that fails must not print a record's arguments unredacted
    logging.raiseExceptions = False


def _handler(settings: Settings) -> tuple[logging.Handler, str]:
    long_format = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    if settings.log_file is not None:
        return _FileHandler(open_log_file(settings.log_file)), long_format
    if settings.foreground:
        return _StreamHandler(sys.stderr), long_format
    if _SYSLOG_SOCKET.exists():
        try:
            syslog = _SysLogHandler(str(_SYSLOG_SOCKET), facility=logging.handlers.SysLogHandler.LOG_DAEMON)
        except OSError:
            return logging.NullHandler(), long_format  # nobody listens: no log is better than no mount
        syslog.ident = f"cffs[{os.getpid()}]: "
        return syslog, "%(name)s: %(message)s"
    return logging.NullHandler(), long_format


def open_log_file(path: Path) -> TextIO:
    """The log, to be appended to by lines. Raises UsageError, one line, where it cannot be ours alone."""
    descriptor = open_to_append(path, option="--log-file")
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace", buffering=1)
