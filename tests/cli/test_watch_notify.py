"""Desktop notifications of `cffs watch --notify`, on a real session bus."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cffs.cli import watch_notify
from cffs.cli.watch_notify import Notifications, NotShown, body
from tests.cli.helpers import cffs, one_line
from tests.cli.session_bus import NotificationServer, session_bus, silent_bus

LINE = {"name": "a.mp3", "from": "12135550100", "to": "14155035894", "seconds": 127}


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a session bus, which is this process's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, session_bus(Path(folder)) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address


def test_one_and_several(bus: str) -> None:
    """A single recording says who spoke with whom and for how long; several at once are one notification that counts
    them and shows the newest."""
    with NotificationServer(bus) as server:
        notifications = Notifications()
        notifications.show(LINE, count=1)
        notifications.show(LINE, count=3)
        notifications.close()
    said = "12135550100 → 14155035894, 2:07"
    assert server.shown == [("New recording", said), ("3 new recordings", f"Newest: {said}")]


def test_text_of_the_service_is_hostile(bus: str) -> None:
    """Markup is escaped where the server reads it, and shown as it is where it does not; a text is one printable line
    of limited length."""
    odd = LINE | {"from": '&a"\n\x1b]0;t\x07\u202e', "to": "<b>x</b> 1 < 2 " + "y" * 10_000}
    for capabilities, expected in (
        (("body-markup",), '&amp;a" ]0;t → x 1 &lt; 2 yy'),
        ((), '&a" ]0;t → x 1 < 2 yy'),
    ):
        with NotificationServer(bus, capabilities=capabilities) as server:
            notifications = Notifications()
            notifications.show(odd, count=1)
            notifications.close()
        ((_summary, text),) = server.shown
        assert text.startswith(expected)
        assert text.endswith("yy…, 2:07")
        assert text.isprintable()
        assert len(text) < 120


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"from": None}, "14155035894, 2:07"),
        ({"from": None, "to": None, "seconds": None}, "a.mp3"),
    ],
)
def test_what_is_not_known(changes: dict[str, object], expected: str) -> None:
    """A recording of which no number is known goes by its name."""
    assert body(LINE | changes) == expected


def test_a_server_that_comes_and_goes(bus: str) -> None:
    """What no server took is an error that is not final: the next one connects again."""
    with NotificationServer(bus):
        notifications = Notifications()
    with pytest.raises(NotShown, match="no notification server"):
        notifications.show(LINE, count=1)
    with NotificationServer(bus) as server:
        notifications.show(LINE, count=2)
        notifications.close()
    assert [summary for summary, _body in server.shown] == ["2 new recordings"]


def test_no_server(bus: str) -> None:
    """A bus without a notification server is wrong usage."""
    with pytest.raises(click.UsageError, match="install one, such as dunst"):
        Notifications()


def test_systemd_s_place_of_the_bus(bus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address in the environment, as under a user unit, the bus is looked for in XDG_RUNTIME_DIR."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(Path(bus.partition("path=")[2].partition(",")[0]).parent))
    with NotificationServer(bus) as server:
        notifications = Notifications()
        notifications.show(LINE, count=1)
        notifications.close()
    assert len(server.shown) == 1


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names what to install."""
    monkeypatch.setitem(sys.modules, "jeepney", None)
    with pytest.raises(click.UsageError, match=r'pip install "cffs\[notify\]"'):
        Notifications()


@pytest.mark.parametrize("address", ["", "unix:path=/nowhere", "nonsense", "tcp:host=127.0.0.1,port=1"])
def test_no_bus(tmp_path: Path, address: str) -> None:
    """Where no bus answers, the command says so in one line that says what to do, with the status of wrong usage."""
    variables = {"DBUS_SESSION_BUS_ADDRESS": address} if address else {}
    said = one_line(cffs(tmp_path, "watch", "--notify", tmp_path, **variables), 2)
    assert said.startswith("--notify needs a desktop session: ")


@pytest.mark.parametrize(
    "answer", [b"", b"OK 0123456789abcdef0123456789abcdef\r\n"], ids=["at once", "once we are known"]
)
def test_a_silent_bus(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """A bus that accepts and then stays silent is one that does not answer, in the time that a reply may take."""
    monkeypatch.setattr(watch_notify, "_REPLY_SECONDS", 0.1)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, silent_bus(Path(folder), answer=answer) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        began_at = time.monotonic()
        with pytest.raises(click.UsageError, match=r"the session bus \S+ does not answer"):
            Notifications()
        assert time.monotonic() - began_at < 5


def test_not_with_commands(tmp_path: Path) -> None:
    """A watch shows, or runs: two watches do both."""
    said = one_line(cffs(tmp_path, "watch", "--notify", "--exec", "true", tmp_path), 2)
    assert "a --state of its own" in said
