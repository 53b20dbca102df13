"""A file manager as far as an extension sees it.

It has the bindings' interface, and a main loop of GLib. It must not know what the extension does. The loop measures how
long each of its turns takes the processor, since a window cannot be drawn meanwhile.
"""

import importlib.util
import itertools
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "scripts/tools/debian/cffs_file_manager.py"
#: The bindings, and whether a menu provider of theirs is given a window before the files.
BINDINGS = {"Nautilus": False, "Nemo": True, "Caja": True}
_LONGEST_WAIT_SECONDS = 30.0


class Loop:
    """The main loop."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self.watches: dict[int, tuple[int, Callable[..., bool]]] = {}
        self.timeouts: dict[int, tuple[float, float, Callable[..., bool]]] = {}
        self.idles: dict[int, Callable[[], bool]] = {}
        self.children: dict[int, tuple[int, Callable[[int, int], None]]] = {}
        self.longest_turn_seconds = 0.0

    def take(self, call: Callable[..., object], *arguments: object) -> object:
        """One call into the extension, measured."""
        began_at = time.thread_time()
        try:
            return call(*arguments)
        finally:
            self.longest_turn_seconds = max(self.longest_turn_seconds, time.thread_time() - began_at)

    def run_until(self, condition: Callable[[], object]) -> None:
        """Turn after turn until the condition holds."""
        deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            self._turn()

    def _turn(self) -> None:
        ready, _, _ = select.select([number for number, _call in self.watches.values()], [], [], 0.01)
        for key, (number, call) in list(self.watches.items()):
            if number in ready and key in self.watches and not self.take(call, number, 1):
                self.watches.pop(key, None)
        for key, (at, seconds, call) in list(self.timeouts.items()):
            if key in self.timeouts and time.monotonic() >= at:
                self.timeouts[key] = (time.monotonic() + seconds, seconds, call)
                if not self.take(call):
                    self.timeouts.pop(key, None)
        for key, call in list(self.idles.items()):
            if not self.take(call):
                self.idles.pop(key, None)
        for key, (pid, call) in list(self.children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.children[key]
                self.take(call, pid, status)

    def glib(self) -> SimpleNamespace:
        """What gi.repository.GLib offers of it."""

        def add(table: dict, value: object) -> int:
            key = next(self._ids)
            table[key] = value
            return key

        def source_remove(key: int) -> None:
            assert any(table.pop(key, None) is not None for table in (self.watches, self.timeouts, self.idles))

        return SimpleNamespace(
            PRIORITY_DEFAULT=0,
            PRIORITY_DEFAULT_IDLE=200,
            IOCondition=SimpleNamespace(IN=1, HUP=16, ERR=8),
            io_add_watch=lambda number, _priority, _events, call: add(self.watches, (number, call)),
            timeout_add=lambda ms, call: add(self.timeouts, (time.monotonic() + ms / 1000, ms / 1000, call)),
            idle_add=lambda call, *rest: add(self.idles, lambda: call(*rest)),
            child_watch_add=lambda _priority, pid, call: add(self.children, (pid, call)),
            source_remove=source_remove,
        )


class Item:
    """A menu entry or a column."""

    def __init__(self, **properties: object) -> None:
        self.__dict__ |= properties
        self._calls: list[Callable[..., None]] = []

    def connect(self, signal: str, call: Callable[..., None]) -> None:
        """As GObject has it."""
        assert signal == "activate"
        self._calls.append(call)

    def activate(self) -> None:
        """As a click does."""
        for call in self._calls:
            call(self)


class File:
    """A file in a window."""

    def __init__(self, path: Path, *, is_folder: bool = False, scheme: str = "file") -> None:
        self._path, self._is_folder, self._scheme = path, is_folder, scheme
        self.attributes: dict[str, str] = {}
        self.emblems: list[str] = []
        self.is_invalid = False

    def get_uri_scheme(self) -> str:
        """`file` for what lies in the file system."""
        return self._scheme

    def get_location(self) -> SimpleNamespace:
        """A GFile."""
        return SimpleNamespace(get_path=lambda: str(self._path))

    def is_directory(self) -> bool:
        """As the window sees it."""
        return self._is_folder

    def add_string_attribute(self, name: str, value: str) -> None:
        """For a column."""
        assert isinstance(value, str)
        self.attributes[name] = value

    def add_emblem(self, name: str) -> None:
        """An icon on the file's icon."""
        self.emblems.append(name)

    def invalidate_extension_info(self) -> None:
        """Ask the extension again."""
        self.is_invalid = True


class FakeFileManager:
    """One of the three, with the extension loaded."""

    def __init__(self, name: str) -> None:
        self.loop = Loop()
        binding = ModuleType(f"gi.repository.{name}")
        self.has_window = BINDINGS[name]
        binding.__dict__.update(
            ColumnProvider=type("ColumnProvider", (), {}),
            InfoProvider=type("InfoProvider", (), {}),
            MenuProvider=type("MenuProvider", (), {}),
            Column=Item,
            MenuItem=Item,
            OperationResult=SimpleNamespace(COMPLETE="complete"),
        )
        repository = ModuleType("gi.repository")
        repository.__dict__.update(GLib=self.loop.glib(), GObject=SimpleNamespace(GObject=type("GObject", (), {})))
        fakes = {"gi": ModuleType("gi"), "gi.repository": repository, f"gi.repository.{name}": binding}
        before = {key: sys.modules.get(key) for key in fakes}
        sys.modules.update(fakes)
        try:
            spec = importlib.util.spec_from_file_location("cffs_file_manager", EXTENSION)
            assert spec is not None
            assert spec.loader is not None
            self.module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(self.module)
        finally:
            for key, module in before.items():
                sys.modules.pop(key)
                if module is not None:
                    sys.modules[key] = module
        self.extension = self.module.CffsRecordings()

    def look_at(self, *files: File) -> None:
        """Ask the extension about each file, as a window does that shows them."""
        for file in files:
            file.is_invalid, file.attributes, file.emblems = False, {}, []
            assert self.loop.take(self.extension.update_file_info, file) == "complete"

    def look_until_known(self, *files: File) -> None:
        """Look at the files, and again at those that the extension says have changed, until it asks no more."""
        self.look_at(*files)
        self.loop.run_until(lambda: any(file.is_invalid for file in files))
        while any(file.is_invalid for file in files) or self.loop.watches or self.loop.idles:
            self.look_at(*[file for file in files if file.is_invalid])
            self.loop.run_until(lambda: not self.loop.watches and not self.loop.idles)

    def menu(self, *files: File) -> dict[str, Item]:
        """The entries for chosen files, by their labels."""
        arguments = (None, list(files)) if self.has_window else (list(files),)
        return {item.label: item for item in self.loop.take(self.extension.get_file_items, *arguments)}
