"""`cffs watch --notify`: desktop notifications of new recordings, over D-Bus.

It owns the words of a notification and the connection to the session bus (org.freedesktop.Notifications, by `jeepney`,
which the extra `cffs[notify]` brings). It must not know where recordings come from.

Numbers and names are the service's, and so hostile. A server may read the body of a notification as markup: there each
text is one printable line of limited length, and its markup is escaped.
"""

import html
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click

from cffs.core.one_line import printable_line

#: A bubble shows about two lines.
_MAX_CHARACTERS = 100
#: The server is on this machine; a bus that starts one for us is waited for.
_REPLY_SECONDS = 5.0
#: The server's own idea of how long a bubble stays.
_DEFAULT_EXPIRY = -1
_ICON = "audio-x-generic"


class NotShown(Exception):
    """No notification server took it. The message is what happened."""


class Notifications:
    """The session's notification server, connected to again after it has failed."""

    def __init__(self) -> None:
        """Raises click.UsageError where this installation or this session can show none."""
        try:
            import jeepney  # noqa: F401  # an extra, imported where it is asked for
        except ImportError as error:
            raise click.UsageError('--notify needs jeepney; install it: pip install "cffs[notify]"') from error
        self._connection: Any = None
        self._reads_markup = False
        try:
            self._connect()
        except NotShown as error:
            raise click.UsageError(f"--notify needs a desktop session: {error}") from error

    def show(self, newest: Mapping[str, object], *, count: int) -> None:
        """One notification: `count` recordings are new, and `newest` is the line of the last. Raises NotShown."""
        summary = "New recording" if count == 1 else f"{count} new recordings"
        text = body(newest) if count == 1 else f"Newest: {body(newest)}"
        if self._connection is None:
            self._connect()
        if self._reads_markup:
            text = html.escape(text, quote=False)
        self._ask("Notify", "susssasa{sv}i", ("cffs", 0, _ICON, summary, text, [], {}, _DEFAULT_EXPIRY))

    def close(self) -> None:
        """Leave the bus."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        from jeepney import DBusErrorResponse

        address = _address()
        try:
            self._connection = _connected(address)
        except (OSError, ValueError, RuntimeError, DBusErrorResponse) as error:
            # unreachable or silent; refused, or no address; of no known kind; none for us
            raise NotShown(f"the session bus {printable_line(address)} does not answer") from error
        (capabilities,) = self._ask("GetCapabilities")
        self._reads_markup = "body-markup" in capabilities

    def _ask(self, method: str, signature: str | None = None, arguments: tuple[object, ...] = ()) -> tuple[Any, ...]:
        from jeepney import DBusAddress, MessageType, new_method_call

        name = "org.freedesktop.Notifications"
        server = DBusAddress("/org/freedesktop/Notifications", name, name)
        connection = self._connection
        if connection is None:
            raise NotShown("there is no connection to the session bus")
        try:
            message = new_method_call(server, method, signature, arguments)
            answer = connection.send_and_get_reply(message, timeout=_REPLY_SECONDS)
        except (OSError, ValueError) as error:
            self.close()
            raise NotShown("the session bus or its notification server does not answer") from error
        if answer.header.message_type is MessageType.error:
            self.close()
            raise NotShown("no notification server answers on its bus; install one, such as dunst")
        return tuple(answer.body)


def body(line: Mapping[str, object]) -> str:
    """Who spoke with whom, and for how long: one printable line, without markup escaped."""
    parties = " → ".join(str(line[side]) for side in ("from", "to") if line[side]) or str(line["name"])
    seconds = line["seconds"]
    length = f", {seconds // 60}:{seconds % 60:02}" if isinstance(seconds, int) else ""
    return printable_line(parties, max_characters=_MAX_CHARACTERS - len(length)) + length


def _connected(address: str) -> Any:
    """A connection to the bus, which has given us a name.

    Raises what jeepney does, TimeoutError among it where the bus is silent.
    """
    from jeepney.bus import get_bus
    from jeepney.io.blocking import DBusConnection, prep_socket

    class Limited(DBusConnection):  # type: ignore[misc]  # jeepney has no types
        """Asks the bus for a name as it is made, which jeepney's own would wait for without end."""

        def send_and_get_reply(self, message: object, *, timeout: float | None = None) -> Any:
            return super().send_and_get_reply(message, timeout=_REPLY_SECONDS if timeout is None else timeout)

    sock = prep_socket(get_bus(address), timeout=_REPLY_SECONDS)
    try:
        return Limited(sock)
    except BaseException:
        sock.close()
        raise


def _address() -> str:
    """Where the session bus is: as the session says, or where systemd has it. Raises NotShown."""
    with suppress(KeyError):
        return os.environ["DBUS_SESSION_BUS_ADDRESS"]
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.exists(f"{folder}/bus"):
        return f"unix:path={folder}/bus"
    raise NotShown("there is no session bus; set DBUS_SESSION_BUS_ADDRESS where there is one")
