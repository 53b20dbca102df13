"""Three real mounts of one account that share through a real Redis server.

The service is asked for each listing once, and sends one copy of each recording. Whatever the server does, no read has
a wrong byte or fails.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cffs.core.units import BLOCK_NBYTES
from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, Mounted, Said, account_variables, mounted
from tests.shared.redis_server import RedisServer, redis_server

#: What the origin may send, as a share of one copy.
MOST_COPIES = 1.02
#: The first request of each mount, which proves its credentials.
ANSWERS_NBYTES = 4000
LISTINGS = ("findCalls", "findCallBroadcasts", "findMedia", "getCallRecordings", "getRecordings")


@contextmanager
def machines(
    said: Said, home: Path, standin: StandinThread, server: RedisServer, *options: str, count: int = 3
) -> Iterator[list[Mounted]]:
    """That many mounts of the account, as of machines of their own."""
    with ExitStack() as stack:
        found = []
        for number in range(count):
            folder = home / f"machine{number}"
            folder.mkdir()
            variables = account_variables(standin) | {"CFFS_SHARED": server.url}
            found.append(stack.enter_context(mounted(said, folder, variables, *options)))
        yield found


def recordings_of(mount: Mounted) -> list[str]:
    """The names of the account's MP3s."""
    return sorted(name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3"))


def true_bytes(standin: StandinThread, name: str) -> bytes:
    """What the service has of a recording that is listed by that name."""
    number = name.removesuffix(".mp3").rpartition("_")[2]
    found = standin.account.object_for(f"/v2/calls/recordings/{number}.mp3")
    assert found is not None
    return found.read()


def read_all(mount: Mounted) -> dict[str, bytes]:
    """Every recording that the mount lists, read whole."""
    return {name: (mount.path / "recordings" / name).read_bytes() for name in recordings_of(mount)}


def at_once(mounts: list[Mounted]) -> list[dict[str, bytes]]:
    """What each mount reads, all of them at the same time."""
    with ThreadPoolExecutor(len(mounts)) as pool:
        return list(pool.map(read_all, mounts))


def asked_once(standin: StandinThread, mounts: list[Mounted]) -> None:
    """No listing was asked of the service twice, but by mounts that asked without the server."""
    asked = Counter(
        (record.kind, record.path, *sorted(record.query.items()))
        for record in standin.requests
        if record.kind in LISTINGS
    )
    assert asked
    alone = sum(mount.status()["shared"]["answers"]["alone"] for mount in mounts)
    assert sum(times - 1 for times in asked.values()) <= alone


def alone_nbytes(mounts: list[Mounted]) -> int:
    """What the mounts fetched without the server, which has 50 ms to answer: on a busy machine that is too short at
    times, and the origin is asked as without it."""
    return sum(mount.status()["shared"]["blocks"]["alone"] for mount in mounts) * BLOCK_NBYTES


def share(said: Said, home: Path, *, recordings: int) -> None:
    """Three mounts read that many recordings at the same time, and then a fourth one does."""
    account = Account(seed=11, calls=recordings)
    with redis_server(home) as server, StandinThread(account, credentials=CANARIES) as standin:
        with machines(said, home, standin, server) as mounts:
            first, *others = at_once(mounts)
            assert len(first) >= recordings * 0.9
            assert all(other == first for other in others)
            assert all(data == true_bytes(standin, name) for name, data in first.items())
            copy = sum(map(len, first.values()))
            bodies = sum(record.body_nbytes for record in standin.requests if record.kind not in LISTINGS)
            blocks = [mount.status()["shared"]["blocks"] for mount in mounts]
            assert bodies - alone_nbytes(mounts) <= MOST_COPIES * copy
            assert sum(counts["hit"] for counts in blocks) > 0
            asked_once(standin, mounts)
            standin.log.clear()
            late = home / "late"
            late.mkdir()
            with mounted(said, late, account_variables(standin) | {"CFFS_SHARED": server.url}) as mount:
                assert read_all(mount) == first
                sent = sum(record.body_nbytes for record in standin.requests)
                assert sent - alone_nbytes([mount]) - alone_nbytes(mounts) < 0.02 * copy + ANSWERS_NBYTES


@pytest.mark.timeout(300)
def test_mounts_read_on_whatever_the_server_does(said, home):
    """Stopped, ended, and empty again: every recording is read whole, at once, by two mounts."""
    with redis_server(home) as server, StandinThread(Account(seed=12, calls=20), credentials=CANARIES) as standin:
        with machines(said, home, standin, server, count=2) as mounts:
            names = recordings_of(mounts[0])
            assert len(names) >= 16
            for number, act in enumerate((server.freeze, server.thaw, server.stop, server.start)):
                act()
                for name in names[number::4]:
                    for mount in mounts:
                        assert (mount.path / "recordings" / name).read_bytes() == true_bytes(standin, name)


@pytest.mark.timeout(300)
def test_three_mounts_cost_one_copy(said, home):
    """The origin sends at most 1.02 of one copy of forty recordings, and is asked for each listing once."""
    share(said, home, recordings=40)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_mounts_cost_one_copy_of_many(said, home):
    """The origin sends at most 1.02 of one copy of three hundred recordings, and is asked for each listing once."""
    share(said, home, recordings=300)
