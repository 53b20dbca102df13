"""Notices to a service manager through $NOTIFY_SOCKET.

READY, STATUS, RELOADING and STOPPING are sent. Owns the protocol of sd_notify(3). It must not know mounts. Without the
variable, or where no process listens, nothing happens.
"""

import os
import socket
import time

from cffs.core.one_line import visible

_VARIABLE = "NOTIFY_SOCKET"


class SystemdNotifier:
    """Notifies the service manager; `address` is the variable's value, "" for none. Never raises, never waits."""

    def __init__(self, address: str, *, foreground: bool) -> None:
        # in the foreground the manager knows its process; below root's helper ours is not even the main one
        self._main = "" if foreground else f"\nMAINPID={os.getpid()}"
        # a leading @ stands for the NUL of an abstract address
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def from_environment(cls, *, foreground: bool) -> "SystemdNotifier":
        """The notifier of this process. The variable is removed, so that no child speaks in our name."""
        return cls(os.environ.pop(_VARIABLE, ""), foreground=foreground)

    def ready(self, status: str) -> None:
        """The mount answers, or a reload is done."""
        self._send(f"READY=1{self._main}\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """The configuration is being read again, until `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The mount is ending."""
        self._send("STOPPING=1\nSTATUS=unmounting")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.connect(self._address)
                channel.send(text.encode())
        except OSError:
            return  # no process listens; the mount does not depend on it


def _line(text: str) -> str:
    return visible(" ".join(text.split()))
