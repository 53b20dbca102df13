"""The file-manager extension over a real mount, in a fake of each binding."""

import os
import shlex
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from cffs.daemon.control_wire import PROTOCOL, encode, socket_name
from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES
from tests.mount.fake_file_manager import BINDINGS, FakeFileManager, File
from tests.mount.mounting import ROOT, account_variables, mounted, run

#: What a window may be kept from drawing itself.
LONGEST_TURN_SECONDS = 0.02


@pytest.fixture(params=sorted(BINDINGS))
def manager(request, home, monkeypatch) -> FakeFileManager:
    """Each of the three, run by the user whose home it is; `cffs` is found in its path."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    tool = home / "bin/cffs"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -P -m cffs.cli "$@"\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    return FakeFileManager(request.param)


def files_of(folder: Path) -> list[File]:
    """What a window on the folder shows."""
    return [File(path, is_folder=path.is_dir()) for path in sorted(folder.iterdir())]


def test_columns_and_emblems(said, home, standin, manager):
    """Number, date and length are those of the names; what is wholly here has the emblem, after it was read as well;
    other files have empty columns. No look costs a request, and no turn takes 20 ms of the window's time."""
    assert [column.name for column in manager.extension.get_columns()] == list(manager.module.COLUMNS)
    with mounted(said, home, account_variables(standin)) as mount:
        folder = next(
            path for path in sorted((mount.path / "by-number").iterdir()) if len(list(path.glob("*.mp3"))) > 1
        )
        files = files_of(folder)
        requests = len(standin.requests)
        manager.look_until_known(*files)
        for file in files:
            name = Path(file.get_location().get_path()).name
            assert set(file.attributes) == set(manager.module.COLUMNS)
            if not name.endswith(".mp3"):
                assert set(file.attributes.values()) == {""}
                continue
            date, clock, _way, number, long, *_rest = name.split("_")
            minutes, seconds = (int(part) for part in long.removesuffix("s").split("m"))
            assert file.attributes["cffs_date"] == f"{date} {clock.replace('.', ':')}"
            assert file.attributes["cffs_number"] == number
            assert file.attributes["cffs_length"] == f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
            assert file.emblems == []
        assert len(standin.requests) == requests
        recordings = [file for file in files if file.attributes["cffs_date"]]
        Path(recordings[0].get_location().get_path()).read_bytes()
        manager.module.FRESH_SECONDS = 0.0
        manager.look_until_known(*recordings[:1])
        assert recordings[0].emblems == ["default"]
        assert manager.loop.longest_turn_seconds < LONGEST_TURN_SECONDS


def test_keep_here_and_let_go(said, home, standin, manager):
    """The menu entries bring and pin a file, whose emblem follows, and let it go; a failure is shown, not swallowed."""
    windows: list[tuple[str, str]] = []
    manager.module.show_in_window = lambda title, text: windows.append((title, text.read().decode()))
    with mounted(said, home, account_variables(standin)) as mount:
        path = next((mount.path / "recordings").glob("*.mp3"))
        file = File(path)
        manager.look_until_known(file)
        assert file.emblems == []
        menu = manager.menu(file)
        assert list(menu) == ["Keep Here", "Let Go", "Why?"]
        menu["Keep Here"].activate()
        manager.loop.run_until(lambda: file.is_invalid)
        manager.look_until_known(file)
        assert file.emblems == ["default"]
        stats = run(said, home, "cache", "stats", "--json", **account_variables(standin))
        assert '"pinned' in stats.stdout
        menu["Let Go"].activate()
        manager.loop.run_until(lambda: file.is_invalid)
        assert windows == []
        manager.menu(File(mount.path / "recordings/1.mp3"))["Keep Here"].activate()
        manager.loop.run_until(lambda: windows)
        assert windows[0][0] == "Not kept here"
        assert "No such file" in windows[0][1]
        menu["Why?"].activate()
        manager.loop.run_until(lambda: len(windows) == 2)
        assert windows[1][0] == path.name
        assert "size" in windows[1][1]
        assert list(manager.menu(File(mount.path / "calls", is_folder=True))) == ["Keep Here", "Let Go"]
        assert manager.menu(file, File(Path("/etc/passwd"))) == {}


def test_nothing_elsewhere(said, home, standin, manager, monkeypatch):
    """Files of other file systems and places have no columns and no menu, and no socket is looked for."""
    monkeypatch.setattr(manager.module, "connected", lambda path: pytest.fail(f"looked for {path}"))
    with mounted(said, home, account_variables(standin)):
        others = [File(Path("/etc/passwd")), File(home, is_folder=True), File(Path("/x"), scheme="trash")]
        manager.look_at(*others)
        assert [file.attributes for file in others] == [{}, {}, {}]
        assert manager.menu(*others[:2]) == {}
    assert not manager.loop.watches


def test_a_daemon_that_hangs_costs_the_window_nothing(said, home, standin, manager):
    """While the daemon is stopped every look returns at once, the question is given up after two seconds, and the mount
    is left alone for a while; then its files are known again."""
    with mounted(said, home, account_variables(standin)) as mount:
        files = files_of(mount.path / "recordings")[:50]
        os.kill(mount.pid, signal.SIGSTOP)
        try:
            began_at = time.monotonic()
            manager.look_at(*files)
            assert manager.loop.watches
            manager.loop.run_until(lambda: not manager.loop.watches)
            assert time.monotonic() - began_at > 1.5
            manager.look_at(*files)
            assert not manager.loop.watches
        finally:
            os.kill(mount.pid, signal.SIGCONT)
        assert manager.loop.longest_turn_seconds < LONGEST_TURN_SECONDS
        manager.module.FOLDERS._silent_until.clear()
        manager.module.FRESH_SECONDS = 0.0
        manager.look_until_known(*files)
        assert any(file.attributes["cffs_number"] for file in files)


def test_a_large_folder_blocks_no_window(said, home, manager):
    """Of a folder of a thousand recordings every file is known in the end, and no turn takes 20 ms."""
    with StandinThread(Account(seed=3, calls=900), credentials=CANARIES) as standin:
        with mounted(said, home, account_variables(standin)) as mount:
            files = [File(path) for path in sorted((mount.path / "recordings").iterdir())]
            manager.look_until_known(*files)
            audio = [file for file in files if file.get_location().get_path().endswith(".mp3")]
            assert len(audio) > 500
            assert all(file.attributes["cffs_date"] for file in audio)
            assert manager.loop.longest_turn_seconds < LONGEST_TURN_SECONDS


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff\n",
        b"[]\n",
        b"{}\n",
        encode({"ok": False, "error": "no"}),
        encode({"ok": True, "result": {"device": "0:1", "commands": ["known"]}}),
        encode({"ok": True, "result": {"files": 1, "after": 0}}),
    ],
)
def test_nonsense_on_the_socket_is_no_answer(answer, tmp_path):
    """Whatever listens under a mount's name, the extension learns nothing from it, and goes on."""
    manager = FakeFileManager("Nautilus")
    listener = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "socket")
    listener.bind(path)
    listener.listen()

    def serve() -> None:
        connection, _address = listener.accept()
        with connection:
            connection.recv(4096)
            connection.send(answer)

    server = threading.Thread(target=serve)
    server.start()
    manager.module.socket_paths = lambda _mount: iter([path])
    mount = manager.module.Mount(["1", "2", "0:99", "/", "/mnt", "rw", "-", "fuse.cffs", "callfire:x", "ro"])
    said: list[object] = []
    manager.module.Question(mount, "recordings", said.append)
    manager.loop.run_until(lambda: said)
    server.join()
    listener.close()
    assert said == [None]
    assert not manager.loop.watches
    assert not manager.loop.timeouts


def test_places(tmp_path):
    """The mount table decides: bind mounts, mounts on top of others, and names with blanks."""
    table = tmp_path / "mountinfo"
    table.write_text(
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 20 0:50 / /home/ada/my\\040calls ro - fuse.cffs callfire:default ro\n"
        "31 20 0:50 /by-date /srv/days ro shared:4 - fuse.cffs callfire:default ro\n"
        "32 30 0:51 / /home/ada/my\\040calls/media rw - tmpfs tmpfs rw\n"
    )
    place_of = FakeFileManager("Caja").module.MountTable(str(table)).place_of
    mount, below = place_of("/home/ada/my calls/recordings/1.mp3")
    assert (mount.device, mount.mountpoint, below) == ("0:50", "/home/ada/my calls", "recordings/1.mp3")
    assert place_of("/srv/days/2026/11")[1] == "by-date/2026/11"
    assert place_of("/home/ada/my calls")[1] == ""
    assert place_of("/home/ada/my calls/media/x") is None
    assert place_of("/home/ada/my callsigns") is None
    assert place_of("/srv/day") is None


def test_the_protocol_is_the_daemons():
    """The extension imports nothing of cffs, so its version and the name of a socket are held equal here."""
    module = FakeFileManager("Nemo").module
    assert module.PROTOCOL == PROTOCOL
    mount = module.Mount(["1", "2", "0:99", "/", "/mnt/x", "rw", "-", "fuse.cffs", "callfire:x", "ro"])
    assert {Path(path).name for path in module.socket_paths(mount)} == {socket_name(Path("/mnt/x"))}
