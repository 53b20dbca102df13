"""What attends a running mount: control socket, the signals that do not end it, the service manager, kernel settings.

It must not know the object graph beyond what it is given. `daemon/mount` opens it around the session; a mount without
any of it works all the same.
"""

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cffs import __version__
from cffs.core.errors import CffsError
from cffs.core.settings import Settings
from cffs.daemon.background import NurseryBackground
from cffs.daemon.control import Command, Control, Tell, open_control
from cffs.daemon.control_wire import PROTOCOL
from cffs.daemon.kernel import Tuning, device_number, tune
from cffs.daemon.reload import LiveSettings, reload_and_log
from cffs.daemon.systemd_notify import SystemdNotifier

log = logging.getLogger(__name__)

#: The line of `systemctl status` is for people.
_STATUS_SECONDS = 30.0


def ending_signals(settings: Settings) -> tuple[signal.Signals, ...]:
    """Those that end the mount. SIGHUP does only where a terminal was left: in the foreground with one of ours."""
    terminal = settings.foreground and any(os.isatty(descriptor) for descriptor in (0, 1, 2))
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if terminal else ()))


class MountServices:
    """See the module. `inflight` and `status` are what the mount's own files show; `note_read_ahead` is told what the
    kernel reads ahead, in bytes."""

    def __init__(
        self,
        *,
        live: LiveSettings,
        mountpoint: Path,
        inflight: Callable[[], list[dict[str, object]]],
        status: Callable[[], Mapping[str, object]],
        note_read_ahead: Callable[[int], None],
    ) -> None:
        self._live = live
        self._note_read_ahead = note_read_ahead
        self._mountpoint = mountpoint
        self._inflight = inflight
        self._status = status
        self._notifier = SystemdNotifier.from_environment(foreground=live.now.foreground)
        self._socket: Path | None = None
        self._kernel = Tuning()
        self._device = ""
        self.control = Control(
            {
                "hello": self._hello,
                "status": self._tell_status,
                "inflight": self._tell_inflight,
                "reload": self._reload,
                "end": self._end,
            }
        )

    def add_command(self, name: str, command: Command) -> None:
        """One more command of the control socket."""
        self.control.commands[name] = command

    def told(self) -> dict[str, object]:
        """What of it belongs into status.json."""
        return {"control": None if self._socket is None else str(self._socket), "kernel": self._kernel.plain()}

    @asynccontextmanager
    async def opened(self, background: NurseryBackground, device: str) -> AsyncIterator[None]:
        """Attend for the length of the block. `device` is the mount's, as the mount table calls it."""
        self._device = device
        settings = self._live.now
        folders = tuple(dict.fromkeys((settings.runtime_dir, settings.cache_dir)))
        async with open_control(folders, self._mountpoint, self.control, background) as path:
            self._socket = path
            background.start(self._obey, ending_signals(settings))
            yield

    async def answered(self) -> None:
        """The mount answers: raise what the kernel lets us, tell the service manager, and go on telling it."""
        self._kernel = await trio.to_thread.run_sync(tune, device_number(self._device))
        self._note_read_ahead((self._kernel.read_ahead_kb or 0) * 1024)
        self._notifier.ready(self._line())
        while True:
            await trio.sleep(_STATUS_SECONDS)
            self._notifier.status(self._line())

    def ending(self) -> None:
        """The end has begun."""
        self._notifier.stopping()

    async def _obey(self, ending: tuple[signal.Signals, ...]) -> None:
        heard = {signal.SIGHUP, signal.SIGUSR1} - set(ending)
        with trio.open_signal_receiver(*heard) as signals:
            async for number in signals:
                if number == signal.SIGUSR1:
                    self._log_waiting()
                else:
                    self._notifier.reloading()
                    await reload_and_log(self._live)
                    self._notifier.ready(self._line())

    def _log_waiting(self) -> None:
        waiting = self._inflight()
        # a warning: who asks for it wants to see it whatever the level
        log.warning("calls waiting count=%d", len(waiting))
        for call in waiting:
            log.warning(
                "call waiting operation=%s subject=%s age_seconds=%s waits_for=%s",
                *(call.get(name) for name in ("operation", "subject", "age_seconds", "waits_for")),
            )

    def _line(self) -> str:
        told = self._status()
        origin = told.get("origin")
        state = origin.get("state") if isinstance(origin, Mapping) else "?"
        return f"{self._mountpoint}: {state}, {told.get('open_files', 0)} open files"

    async def _hello(self, _arguments: Mapping[str, object], _tell: Tell) -> object:
        return {
            "cffs": __version__,
            "versions": [PROTOCOL],
            "pid": os.getpid(),
            "mountpoint": str(self._mountpoint),
            "device": self._device,
            "writable": self._live.now.writable,
            "commands": sorted(self.control.commands),
        }

    async def _tell_status(self, _arguments: Mapping[str, object], _tell: Tell) -> object:
        return self._status()

    async def _tell_inflight(self, _arguments: Mapping[str, object], _tell: Tell) -> object:
        return self._inflight()

    async def _end(self, _arguments: Mapping[str, object], _tell: Tell) -> object:
        """As SIGTERM does, for who cannot send one: in another namespace our process has another number, or none."""
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    async def _reload(self, _arguments: Mapping[str, object], _tell: Tell) -> object:
        self._notifier.reloading()
        try:
            return await self._live.reload()
        except CffsError as error:
            log.warning("configuration not taken over reason=%s", error)
            raise
        finally:
            self._notifier.ready(self._line())
