"""A session bus, and a notification server on it that keeps what it is given.

The bus is Debian's dbus-daemon; the server is a thread of this process. It must not know what a test asserts.
"""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jeepney import MessageType, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection

#: Everybody may own and call every name; none is started by the bus, whatever this machine has installed.
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""


@contextmanager
def session_bus(folder: Path) -> Iterator[str]:
    """The address of a bus during the block. `folder` has a short path: a socket's has 107 bytes at most."""
    config = folder / "bus.conf"
    config.write_text(_CONFIG.format(path=folder / "bus"))
    command = ["dbus-daemon", "--nofork", "--print-address=1", f"--config-file={config}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def silent_bus(folder: Path, *, answer: bytes) -> Iterator[str]:
    """The address of a bus that sends `answer` to the first client's greeting, and nothing more."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "bus"))
        listener.listen()

        def serve() -> None:
            client, _address = listener.accept()
            with client:
                while not client.recv(4096).endswith(b"\r\n"):
                    pass
                client.sendall(answer)
                while client.recv(4096):
                    pass

        server = threading.Thread(target=serve)
        server.start()
        yield f"unix:path={folder / 'bus'}"
        server.join()


class NotificationServer(threading.Thread):
    """Answers org.freedesktop.Notifications until the bus ends; a context manager that holds the name meanwhile."""

    def __init__(self, address: str, *, capabilities: tuple[str, ...] = ("body", "body-markup")) -> None:
        super().__init__()
        self._connection = open_dbus_connection(address)
        self._capabilities = list(capabilities)
        #: (summary, body) of each notification.
        self.shown: list[tuple[str, str]] = []

    def __enter__(self) -> "NotificationServer":
        Proxy(message_bus, self._connection).RequestName("org.freedesktop.Notifications")
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.sock.shutdown(2)
        self.join()
        self._connection.close()

    def run(self) -> None:
        """Answer what is asked."""
        while True:
            try:
                message = self._connection.receive()
            except (OSError, TimeoutError):
                return
            if message.header.message_type is not MessageType.method_call:
                continue
            if message.body:
                _program, _replaces, _icon, summary, body, *_rest = message.body
                self.shown.append((summary, body))
                answer = new_method_return(message, "u", (len(self.shown),))
            else:
                answer = new_method_return(message, "as", (self._capabilities,))
            self._connection.send(answer)
