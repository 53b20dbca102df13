"""What a starting daemon tells the command that started it: mount now, it is ready, it failed, or a line worth reading.

It must not know how the line travels further. `daemon/main` makes reports, `daemon/__main__` writes them to a socket
as JSON lines, `cli/launch` reads them there.
"""

import json
from dataclasses import dataclass
from enum import StrEnum


class ReportKind(StrEnum):
    """READY and ERROR end the conversation; any number of NOTICEs may come before, and one MOUNT, which is answered by
    the mount itself (`daemon/mount_request`)."""

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
        """Everything is prepared: mount, and hand over what serves it."""
        return cls(ReportKind.MOUNT)

    @classmethod
    def ready(cls) -> "Report":
        """The mount answers."""
        return cls(ReportKind.READY)

    @classmethod
    def error(cls, message: str) -> "Report":
        """The mount will not come; the daemon ends after this."""
        return cls(ReportKind.ERROR, message)

    @classmethod
    def notice(cls, message: str) -> "Report":
        """Something the user should read, though the mount comes (a dead mount was cleared, say)."""
        return cls(ReportKind.NOTICE, message)

    def to_line(self) -> str:
        """The JSON line: `{"mount": true}`, `{"ready": true}`, `{"error": "..."}` or `{"notice": "..."}`."""
        told: object = True if self.kind in (ReportKind.MOUNT, ReportKind.READY) else " ".join(self.message.split())
        return json.dumps({self.kind.value: told}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Report":
        """What `to_line` wrote; raises ValueError for anything else."""
        told = json.loads(line)
        if not isinstance(told, dict) or len(told) != 1:
            raise ValueError("not a report")
        ((kind, message),) = told.items()
        return cls(ReportKind(kind), message if isinstance(message, str) else "")
