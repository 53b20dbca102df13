"""Log lines: where they go, how they look, and that no secret is in them.

A line goes to stderr, syslog or a file, as text or JSON. Secrets are taken out, and what a terminal would obey or what
looks like another line is spelt out. Both happen in the handlers' formatter, the last step before the bytes leave: so
they cover the loggers of all libraries.

Owns the root logger. It must not know what is logged. It has to be configured before anything else logs.
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

#: Libraries that log whole URLs, headers and bodies below WARNING.
_TALKATIVE = ("httpx", "httpcore", "h11", "trio", "asyncio")
_SYSLOG_SOCKET = Path("/dev/log")
#: A line longer than this holds a body that was logged by mistake.
_LONGEST_LINE = 16_384
#: Before each line of a traceback: the text of an exception may hold line ends, and none of its lines begins an entry.
_INDENT = "    "


class RedactingFormatter(logging.Formatter):
    """Formats a record (message, arguments, exception, stack), takes the secrets out of the text, and spells out its
    unprintable characters."""

    def __init__(self, redactor: Redactor, *, line_format: str, as_json: bool) -> None:
        super().__init__(line_format)
        self._redactor = redactor
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """An entry: one line of text (a traceback adds more lines, indented), or one line of JSON."""
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
        # each value by itself: JSON's escapes would otherwise hide a secret from the redactor
        return visible_json({name: text[:_LONGEST_LINE] for name, text in entry.items()}, is_ascii=True)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The first line of an entry."""
        return visible(self._redactor(super().formatMessage(record)))

    def formatException(self, ei: object) -> str:  # noqa: N802  # logging's name
        """The traceback, redacted by itself: logging keeps this text on the record, where other handlers find it."""
        return self._below(super().formatException(ei))  # type: ignore[arg-type]  # logging's own union

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # logging's name
        """The stack at which the record was logged, redacted."""
        return self._below(super().formatStack(stack_info))

    def _below(self, text: str) -> str:
        return "\n".join(_INDENT + visible(line) for line in self._redactor(text).split("\n"))


class _QuietHandlerErrors:
    """A mix-in of each handler: a record that cannot be written is dropped, not printed with its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Report that a line was lost, never what it held."""
        try:
            sys.stderr.write(f"cffs: a log line of {record.name} could not be written\n")
        except (OSError, ValueError, AttributeError):
            return  # stderr is gone too (full disk, closed terminal, none): logging must never fail its caller


class _StreamHandler(_QuietHandlerErrors, logging.StreamHandler[TextIO]):
    pass


class _FileHandler(_StreamHandler):
    """A handler that owns its stream, unlike the one for stderr."""

    def close(self) -> None:
        """Close the handler and its file."""
        super().close()
        self.stream.close()


class _SysLogHandler(_QuietHandlerErrors, logging.handlers.SysLogHandler):
    pass


def configure(settings: Settings, *, redactor: Redactor | None = None) -> None:
    """Have the root logger write to exactly one place, redacted; warnings of Python go there too.

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
            return logging.NullHandler(), long_format  # no process listens: no log is better than no mount
        syslog.ident = f"cffs[{os.getpid()}]: "
        return syslog, "%(name)s: %(message)s"
    return logging.NullHandler(), long_format


def open_log_file(path: Path) -> TextIO:
    """The log file, to be appended to line by line. Raises UsageError, one line, where it cannot be ours alone."""
    descriptor = open_to_append(path, option="--log-file")
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace", buffering=1)
