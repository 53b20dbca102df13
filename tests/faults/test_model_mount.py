"""The reference model through the kernel, on a clock that can be put forward.

The mount is real, in a process of its own; the shim skips its durations.
"""

import itertools
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.conftest import EXPLORES
from tests.faults.bench import CANARIES, Bench
from tests.faults.conftest import MakeBench, with_shim
from tests.faults.reference_model import SCHEDULES, SILENT, SILENT_SECONDS, Play, Step
from tests.faults.test_model_virtual import flip
from tests.mount.mounting import Said, run

#: Far more than a busy machine needs; where the service is silent, the daemon's clock is put forward by so much.
TIMEOUT_SECONDS = 24.0


class RealMount:
    """The mount as programs see it."""

    faults_hit_all = False

    def __init__(self, stack: ExitStack, home: Path, make_bench: MakeBench, said: Said) -> None:
        self._outer, self._home, self._make_bench, self._said = stack, home, make_bench, said
        self._variables, self._shim = with_shim(home)
        self._inner = ExitStack()
        self._account = Account(seed=3, calls=0, media=0, dynamic=0)
        self._numbers: list[int] = []
        self._rules: dict[int, int] = {}
        self._in_turn: dict[int, int] = {}
        self._later_seconds = 0.0
        self._silent: set[int] = set()

    async def begin(self, contents: dict[int, bytes]) -> None:
        for thing, content in contents.items():
            self._numbers.append(self._account.add_recording(self._account.add_call(recordings=0)))
            await self.serve(thing, content)
        self._standin = self._outer.enter_context(StandinThread(self._account, credentials=CANARIES))
        self._outer.callback(lambda: self._inner.close())
        self._enter()
        await self.names()

    def _enter(self) -> None:
        (self._shim / "later").write_text(str(self._later_seconds))
        self._inner = ExitStack()
        made = self._make_bench(
            self._home,
            "--memory-size",
            "8M",
            standin=self._standin,
            timeout_seconds=TIMEOUT_SECONDS,
            lists=False,
            **self._variables,
        )
        self._bench: Bench = self._inner.enter_context(made)

    def _path(self, thing: int) -> Path:
        return self._bench.mount.path / f"recordings/{self._numbers[thing]}.mp3"

    async def names(self) -> set[int]:
        with self._bench.watched():
            names = os.listdir(self._bench.mount.path / "recordings")
        return {self._numbers.index(int(name.partition(".")[0])) for name in names if name.endswith(".mp3")}

    async def stat(self, thing: int) -> int:
        with self._bench.watched():
            return os.stat(self._path(thing)).st_size

    async def open(self, thing: int) -> tuple[Any, int]:
        with self._impatient(thing):
            descriptor = os.open(self._path(thing), os.O_RDONLY)
            return (descriptor, thing), os.fstat(descriptor).st_size

    async def read(self, handle: Any, offset: int, nbytes: int) -> bytes:
        with self._impatient(handle[1]):
            return os.pread(handle[0], nbytes, offset)

    @contextmanager
    def _impatient(self, thing: int) -> Iterator[None]:
        """While a call waits for a service that is silent about the thing, skip time."""
        is_over = threading.Event()

        def fly() -> None:
            while not is_over.wait(SILENT_SECONDS) and thing in self._silent:
                self._forward(TIMEOUT_SECONDS)

        flying = threading.Thread(target=fly)
        flying.start()
        try:
            with self._bench.watched():
                yield
        finally:
            is_over.set()
            flying.join()

    async def close(self, handle: Any) -> None:
        os.close(handle[0])

    async def serve(self, thing: int, content: bytes | None) -> None:
        self._agree(thing)
        if content is None:
            self._account.delete_recording(self._numbers[thing])
        else:
            self._account.replace_object(f"/v2/calls/recordings/{self._numbers[thing]}.mp3", data=content)

    async def serve_in_turn(self, thing: int, contents: list[bytes]) -> None:
        self._agree(thing)
        path, objects = f"/v2/calls/recordings/{self._numbers[thing]}.mp3", []
        for content in contents:
            self._account.replace_object(path, data=content)
            objects.append(self._account.object_for(path))
        turns = itertools.cycle(objects)
        self._in_turn[thing] = self._standin.faults.add("other_machine", path=re.escape(path), objects=turns)

    def _agree(self, thing: int) -> None:
        if thing in self._in_turn:
            self._standin.faults.remove(self._in_turn.pop(thing))

    async def fault(self, thing: int, name: str, options: dict[str, Any], times: int) -> None:
        if thing in self._rules:
            self._standin.faults.remove(self._rules[thing])
        if name in SILENT:
            self._silent.add(thing)
        pattern = self._bench.target(self._numbers[thing]).pattern
        self._rules[thing] = self._standin.faults.add(name, path=pattern, times=times, **options)

    async def calm(self) -> None:
        self._standin.faults.clear()
        self._silent.clear()

    async def later(self, seconds: float) -> None:
        self._forward(seconds)

    def _forward(self, seconds: float) -> None:
        self._later_seconds += seconds
        (self._shim / "later").write_text(str(self._later_seconds))
        self._bench.mount.status()  # any question will do: the daemon wakes, and finds it later than it thought

    async def restart(self, *, forget: bool) -> None:
        self._inner.close()
        if forget:
            for path in self._blocks():
                path.unlink()
        self._enter()

    def _blocks(self) -> list[Path]:
        return [path for path in self._home.glob("cache/cffs/*/blocks/*/*") if path.is_file()]

    async def corrupt(self, seed: int) -> None:
        flip(self._blocks(), seed)

    async def evict(self) -> None:
        assert run(self._said, self._home, "cache", "clear").returncode == 0


@pytest.mark.timeout(900 if EXPLORES else 120)
def test_mount(said: Said, make_bench: MakeBench, tmp_path_factory: pytest.TempPathFactory):
    """Whatever programs, the service, the disk and the clock do: true bytes of the version opened, never an older one
    than was seen, errors only while there is trouble, everything known listed, and in peace everything."""

    @settings(
        max_examples=80 if EXPLORES else 3,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if EXPLORES else [Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(SCHEDULES)
    def play(steps: list[Step]) -> None:
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp())))
            trio.run(Play(RealMount(stack, home, make_bench, said)).run, steps)

    play()
