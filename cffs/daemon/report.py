"""Reports of a starting daemon to the command that started it, as JSON lines.

A daemon asks to be mounted, is ready, has failed, or has a line for the user.

Owns the form of a report. It must not know how the line travels further.
"""

import json
from dataclasses import dataclass
from enum import StrEnum


class ReportKind(StrEnum):
    """The kinds of reports. READY and ERROR end the conversation; any number of NOTICEs may come before, and one MOUNT,
    which is answered with the mount itself (`daemon/mount_request`)."""

    MOUNT = "mount"
    READY = "ready"
    ERROR = "error"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Report:
    """One report; `message` is one line without a trailing period, and never holds a secret."""

    kind: ReportKind
    message: str = ""

    @classmethod
    def mount(cls) -> "Report":
        """Everything is prepared: the command is to mount, and to hand over the kernel's end."""
        return cls(ReportKind.MOUNT)

    @classmethod
    def ready(cls) -> "Report":
        """The mount answers."""
        return cls(ReportKind.READY)

    @classmethod
    def error(cls, message: str) -> "Report":
        """The mount will not be made; the daemon ends after this."""
        return cls(ReportKind.ERROR, message)

    @classmethod
    def notice(cls, message: str) -> "Report":
        """A line that the user should read, although the mount is made (for example, a dead mount was cleared)."""
        return cls(ReportKind.NOTICE, message)

    def to_line(self) -> str:
        """The JSON line: `{"mount": true}`, `{"ready": true}`, `{"error": "..."}` or `{"notice": "..."}`."""
        value: object = True if self.kind in (ReportKind.MOUNT, ReportKind.READY) else " ".join(self.message.split())
        return json.dumps({self.kind.value: value}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Report":
        """The report that `to_line` wrote. Raises ValueError for anything else."""
        document = json.loads(line)
        if not isinstance(document, dict) or len(document) != 1:
            raise ValueError("not a report")
        ((kind, message),) = document.items()
        return cls(ReportKind(kind), message if isinstance(message, str) else "")
