"""Services around a mount: control socket, signals, service manager, kernel.

Owns the control socket's commands about the mount as a whole, and the signals that do not end it. It must not know the
mount's parts beyond what it is given. A mount would work without any of these services.
"""

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from cffs import __version__
from cffs.core.errors import CffsError
from cffs.core.settings import Settings
from cffs.daemon.background import NurseryBackground
from cffs.daemon.control import Command, Control, Progress, open_control
from cffs.daemon.control_wire import PROTOCOL
from cffs.daemon.kernel import Tuning, device_number, tune, tuning_of
from cffs.daemon.reload import LiveSettings, reload_and_log
from cffs.daemon.systemd_notify import SystemdNotifier

log = logging.getLogger(__name__)

#: How often the line in `systemctl status` is renewed; it is for people.
_STATUS_SECONDS = 30.0
#: The udev rule's helper raises the read-ahead of an ordinary user's mount within this time of its first answer.
_UDEV_SECONDS = 1.0


def ending_signals(settings: Settings) -> tuple[signal.Signals, ...]:
    """The signals that end the mount. SIGHUP is one only in the foreground of a terminal, where it means that the
    terminal was closed."""
    terminal = settings.foreground and any(os.isatty(descriptor) for descriptor in (0, 1, 2))
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if terminal else ()))


@dataclass(slots=True)
class ServiceState:
    """Where the control socket lies, and what the kernel let us raise; filled in once each is known."""

    socket: Path | None = None
    tuning: Tuning = field(default_factory=Tuning)

    def report(self) -> dict[str, object]:
        """The fields of status.json about it."""
        return {"control": None if self.socket is None else str(self.socket), "kernel": self.tuning.plain()}


class MountServices:
    """The services of one mount. `commands` are further commands of the control socket."""

    def __init__(
        self,
        *,
        live: LiveSettings,
        mountpoint: Path,
        inflight: Callable[[], list[dict[str, object]]],
        status: Callable[[], Mapping[str, object]],
        note_read_ahead: Callable[[int], None],
        state: ServiceState,
        commands: Mapping[str, Command],
    ) -> None:
        """`inflight` and `status` return what the mount's own files show. `note_read_ahead` gets the number of bytes
        that the kernel reads ahead."""
        self._live = live
        self._note_read_ahead = note_read_ahead
        self._mountpoint = mountpoint
        self._inflight = inflight
        self._status = status
        self._notifier = SystemdNotifier.from_environment(foreground=live.now.foreground)
        self._state = state
        self._device = ""
        self.control = Control(
            {
                "hello": self._hello,
                "status": self._answer_status,
                "inflight": self._answer_inflight,
                "reload": self._reload,
                "end": self._end,
                **commands,
            }
        )

    @asynccontextmanager
    async def opened(self, background: NurseryBackground, device: str) -> AsyncIterator[None]:
        """Serve for the length of the block. `device` is the mount's in the mount table."""
        self._device = device
        settings = self._live.now
        folders = tuple(dict.fromkeys((settings.runtime_dir, settings.cache_dir)))
        async with open_control(folders, self._mountpoint, self.control, background) as path:
            self._state.socket = path
            background.start(self._handle_signals, ending_signals(settings))
            yield

    async def report_forever(self) -> None:
        """The mount answers: raise the kernel's limits where it lets us, and report to the service manager until
        cancelled."""
        await self._note_tuning(tune)
        self._notifier.ready(self._line())
        await trio.sleep(_UDEV_SECONDS)
        while True:
            await self._note_tuning(tuning_of)
            await trio.sleep(_STATUS_SECONDS)
            self._notifier.status(self._line())

    async def _note_tuning(self, how: Callable[[int | None], Tuning]) -> None:
        """Note the kernel's settings, returned by `tune` or `tuning_of`. A checkpoint."""
        tuning = self._state.tuning = await trio.to_thread.run_sync(how, device_number(self._device))
        self._note_read_ahead((tuning.read_ahead_kb or 0) * 1024)

    def note_ending(self) -> None:
        """Report to the service manager that the mount is ending."""
        self._notifier.stopping()

    async def _handle_signals(self, ending: tuple[signal.Signals, ...]) -> None:
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
        # a warning, so that it is seen at whatever level: it was asked for
        log.warning("calls waiting count=%d", len(waiting))
        for call in waiting:
            log.warning(
                "call waiting operation=%s subject=%s age_seconds=%s waits_for=%s",
                *(call.get(name) for name in ("operation", "subject", "age_seconds", "waits_for")),
            )

    def _line(self) -> str:
        status = self._status()
        origin = status.get("origin")
        state = origin.get("state") if isinstance(origin, Mapping) else "?"
        return f"{self._mountpoint}: {state}, {status.get('open_files', 0)} open files"

    async def _hello(self, _arguments: Mapping[str, object], _progress: Progress) -> object:
        return {
            "cffs": __version__,
            "versions": [PROTOCOL],
            "pid": os.getpid(),
            "mountpoint": str(self._mountpoint),
            "device": self._device,
            "writable": not self._live.now.is_read_only,
            "commands": sorted(self.control.commands),
        }

    async def _answer_status(self, _arguments: Mapping[str, object], _progress: Progress) -> object:
        return self._status()

    async def _answer_inflight(self, _arguments: Mapping[str, object], _progress: Progress) -> object:
        return self._inflight()

    async def _end(self, _arguments: Mapping[str, object], _progress: Progress) -> object:
        """End the mount as SIGTERM does, for a client that cannot send one: in another pid namespace our process has
        another number, or none."""
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    async def _reload(self, _arguments: Mapping[str, object], _progress: Progress) -> object:
        self._notifier.reloading()
        try:
            return await self._live.reload()
        except CffsError as error:
            log.warning("configuration not taken over reason=%s", error)
            raise
        finally:
            self._notifier.ready(self._line())
