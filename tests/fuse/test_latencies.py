"""Latencies before the first byte of a path that no listing showed, and requests."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
from trio.testing import MockClock

from cffs.core.names import encode_name
from cffs.standin.account import Account
from cffs.standin.answers import Options
from tests.fuse.kernel import Kernel
from tests.fuse.kernelless_mount import World

#: The latency of a request, in the test's time: less than what makes a body late.
LATENCY_SECONDS = 0.8
ORIGINS = {
    "all": Options(),
    "no dates": Options(send_last_modified=False),
    "not embedded": Options(embed_recordings=False),
    "the documents alone": Options(seed_only=True),
}
CREDENTIALS = {"both": {}, "v1": {"v2": False}, "v2": {"v1": False}}


@pytest.fixture
def clock() -> MockClock:
    """Moves the clock once nothing has come over this machine's network for a moment."""
    return MockClock(autojump_threshold=0.05)


class Recording(NamedTuple):
    """One recording of a call of a campaign."""

    campaign: int
    call: int
    ident: int
    name: str


def recordings(account: Account) -> Iterator[Recording]:
    """Recordings, each of another call."""
    for call_id in account.call_ids():
        row, rows = account.call_row(call_id), account.recording_rows(call_id)
        if row.get("campaignId") and rows:
            yield Recording(row["campaignId"], call_id, rows[0]["id"], encode_name(rows[0]["name"]))


def public_name(account: Account, media_id: int) -> str:
    """The last segment of a media file's public URL."""
    return str(account.media.media_row(media_id, root_url="")["publicUrl"].rpartition("/")[2])


def dynamic_path(account: Account) -> str:
    """The path of a dynamic recording."""
    *folders, filename = next(iter(account.media.dynamic)).parts
    return "/".join(("dynamic", *folders, encode_name(filename)))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A kind of path: the APIs it needs, the latencies within which its first byte must come, the requests for metadata
    that it may cost where the origin offers everything (`all`), and how many more it may cost elsewhere."""

    path: Callable[[Account, Recording, int], str]
    needs: str = "v1 v2"
    latencies: float
    metadata: int
    bodies: int = 1
    in_documents: bool = True


ROWS = {
    "recordings/F.wav": Row(
        path=lambda _account, found, _media: f"recordings/{found.ident}.wav", needs="v1", latencies=1.3, metadata=0
    ),
    "recordings/F.mp3": Row(
        path=lambda _account, found, _media: f"recordings/{found.ident}.mp3",
        needs="v2",
        latencies=1.3,
        metadata=0,
        in_documents=False,
    ),
    # the head says where the samples lie, so more is read before them than the clip needs
    "recordings/F@A-B.wav": Row(
        path=lambda _account, found, _media: f"recordings/{found.ident}@1-3.wav",
        needs="v1",
        latencies=2.3,
        metadata=1,
        bodies=2,
    ),
    "campaigns/C/K/F.wav": Row(
        path=lambda _account, found, _media: f"campaigns/{found.campaign}/{found.call}/{found.ident}.wav",
        needs="v1",
        latencies=2.3,
        metadata=2,
    ),
    "campaigns/C/calls/K/F.wav": Row(
        path=lambda _account, found, _media: f"campaigns/{found.campaign}/calls/{found.call}/{found.ident}.wav",
        needs="v1",
        latencies=2.3,
        metadata=2,
    ),
    "campaigns/C/K/N.mp3": Row(
        path=lambda _account, found, _media: f"campaigns/{found.campaign}/{found.call}/{found.name}.mp3",
        needs="v2",
        latencies=2.3,
        metadata=2,
    ),
    "campaigns/C/K/F.mp3": Row(
        path=lambda _account, found, _media: f"campaigns/{found.campaign}/{found.call}/{found.ident}.mp3",
        needs="v2",
        latencies=2.3,
        metadata=2,
        in_documents=False,
    ),
    "media/M.ext": Row(
        path=lambda account, _found, media: f"media/{media}.{public_name(account, media).rpartition('.')[2]}",
        needs="v2",
        latencies=1.3,
        metadata=1,
    ),
    "media/M": Row(path=lambda _account, _found, media: f"media/{media}", needs="v2", latencies=1.3, metadata=1),
    "media/public/key.ext": Row(
        path=lambda account, _found, media: f"media/public/{public_name(account, media)}",
        needs="v2",
        latencies=1.3,
        metadata=0,
    ),
    "dynamic": Row(path=lambda account, _found, _media: dynamic_path(account), needs="v1", latencies=1.3, metadata=0),
}
#: Requests for metadata beyond those of the row, by origin: for states that no date gives away; for the recordings that
#: calls leave out; and, once in a mount's life, for which listings the origin offers.
MORE_METADATA = {"all": 0, "no dates": 1, "not embedded": 1, "the documents alone": 2}


class Cost(NamedTuple):
    """What a first byte took, and the requests it had cost at its end."""

    latencies: float
    requests: Counter[str]
    told: list[tuple[str, str, str | None]]


async def first_byte(mount: World, kernel: Kernel, path: str) -> Cost:
    """Open and read."""
    mount.standin.log.clear()
    began = trio.current_time()
    async with kernel.opened(path) as (_inode, info):
        assert await kernel.operations.read(info.fh, 0, 4096)
        latencies = (trio.current_time() - began) / LATENCY_SECONDS
    await trio.sleep(5 * LATENCY_SECONDS)
    return Cost(latencies, bodies(mount), [(r.kind, r.path, r.range) for r in mount.standin.requests])


def bodies(mount: World) -> Counter[str]:
    """Requests for bytes and for anything else."""
    return Counter("body" if record.range else "metadata" for record in mount.standin.requests)


def rows_for(origin: str, which: dict[str, bool]) -> dict[str, Row]:
    """The kinds of paths that these credentials can ask this origin for."""
    given = {api for api in ("v1", "v2") if which.get(api, True)}
    return {
        name: row
        for name, row in ROWS.items()
        if row.needs in given and (row.in_documents or not ORIGINS[origin].seed_only)
    }


def check(name: str, row: Row, origin: str, cost: Cost) -> None:
    """The bounds of the row."""
    assert cost.requests["body"] == row.bodies, (name, cost)
    assert cost.requests["metadata"] <= row.metadata + MORE_METADATA[origin], (name, cost)
    assert cost.latencies <= row.latencies, (name, cost)


@pytest.mark.parametrize("checks_modes", [True, False], ids=["modes checked", "modes not checked"])
@pytest.mark.parametrize("which", CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.parametrize("origin", ORIGINS)
async def test_the_first_byte(world, clock: MockClock, origin, which, checks_modes):
    """The first byte takes 1.3 latencies where the file's folder is known, and 2.3 below a call that is not known, or
    for a clip. It costs one request for the bytes and one for the metadata; for a call, those that describe it."""
    made = Account(seed=5, calls=40, media=8, dynamic=4)
    found, media = recordings(made), iter(made.media.media_ids())
    async with world(made, options=ORIGINS[origin], timeout_seconds=120.0, budget_seconds=100.0, **which) as mount:
        kernel = Kernel(mount.operations, checks_modes=checks_modes)
        await started(mount)
        for name, row in rows_for(origin, which).items():
            path = row.path(made, next(found), next(media) if "media" in name else 0)
            check(name, row, origin, await first_byte(mount, kernel, path))


@pytest.mark.parametrize("which", CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.parametrize("origin", ["all", "the documents alone"])
async def test_the_first_byte_of_a_mount(world, tmp_path: Path, clock: MockClock, origin, which):
    """The first path of an account's first mount takes no longer than those after it."""
    made = Account(seed=5, calls=40, media=8, dynamic=4)
    found, media = recordings(made), iter(made.media.media_ids())
    for name, row in rows_for(origin, which).items():
        async with world(made, options=ORIGINS[origin], timeout_seconds=120.0, budget_seconds=100.0, **which) as mount:
            await started(mount)
            path = row.path(made, next(found), next(media) if "media" in name else 0)
            check(name, row, origin, await first_byte(mount, mount.kernel, path))
        for kept in tmp_path.glob("catalog.sqlite*"):
            kept.unlink()


@pytest.mark.parametrize(("checks_modes", "most"), [(True, 3.3), (False, 2.3)], ids=["modes checked", "not checked"])
async def test_a_campaign_that_is_not_known_yet(world, clock: MockClock, checks_modes, most):
    """With v2 alone, a campaign that the first page did not show is asked for: beside the call, where the kernel does
    not check modes; before it otherwise, since the kernel asks for the folder's attributes before it enters the
    folder."""
    made = Account(seed=5, calls=40)
    found, row = next(recordings(made)), ROWS["campaigns/C/K/N.mp3"]
    async with world(made, v1=False, timeout_seconds=120.0, budget_seconds=100.0) as mount:
        kernel = Kernel(mount.operations, checks_modes=checks_modes)
        mount.standin.link.latency_seconds = LATENCY_SECONDS
        cost = await first_byte(mount, kernel, row.path(made, found, 0))
        assert cost.latencies <= most
        assert cost.requests == {"body": 1, "metadata": 2}


async def started(mount: World) -> None:
    """Return once the mount has done what it does at its start; from then on the origin is far away."""
    account: Any = mount.namespace._context.account
    account.learn_campaigns()
    await trio.sleep(1)
    mount.standin.link.latency_seconds = LATENCY_SECONDS


async def test_sixteen_programs(world, clock: MockClock):
    """Two hundred names of one folder, read by sixteen programs at a time, take hardly longer than their requests, one
    for each."""
    made = Account(seed=5, calls=220)
    ids = [number for call_id in made.call_ids() for number in made.recording_ids(call_id)][:200]
    for number in ids:
        made.resize_recording(number, form="wav", total_nbytes=100_000)
    async with world(made, timeout_seconds=120.0, budget_seconds=100.0) as mount:
        mount.standin.link.latency_seconds = LATENCY_SECONDS
        await mount.kernel.inode("recordings")
        sixteen = trio.CapacityLimiter(16)

        async def read(number: int) -> None:
            async with sixteen:
                assert await mount.kernel.read(f"recordings/{number}.wav")

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in ids:
                nursery.start_soon(read, number)
        assert trio.current_time() - began < 1.2 * 200 / 16 * LATENCY_SECONDS
        assert bodies(mount) == {"body": 200}


@pytest.mark.parametrize("hanging", ["files", "folders"])
@pytest.mark.parametrize("which", CREDENTIALS.values(), ids=CREDENTIALS)
async def test_a_healthy_file_beside_a_hundred_that_hang(world, clock: MockClock, which, hanging):
    """It takes its own latencies, the second after which what hangs does not count any more, and hardly more."""
    made = Account(seed=5, calls=40)
    found = next(recordings(made))
    form = "wav" if which.get("v1", True) else "mp3"
    healthy = {"files": f"recordings/{found.ident}.{form}", "folders": f"campaigns/{found.campaign}/{found.call}"}
    healthy["folders"] += f"/{found.ident}.{form}"
    others = {"files": "recordings/{}." + form, "folders": f"campaigns/{found.campaign}/" + "{}/88." + form}
    own_latencies = {"files": 1.3, "folders": 2.3}[hanging]
    async with world(made, timeout_seconds=120.0, budget_seconds=100.0, **which) as mount:
        await started(mount)
        mount.standin.faults.add("hang", path=r"/7\d\d(\.mp3)?$")
        async with trio.open_nursery() as nursery:

            async def read(path: str) -> None:
                with trio.CancelScope() as scope:
                    scopes.append(scope)
                    await mount.kernel.read(path)

            scopes: list[trio.CancelScope] = []
            for number in range(700, 800):
                nursery.start_soon(read, others[hanging].format(number))
            await trio.sleep(0.3)
            began = trio.current_time()
            assert await mount.kernel.read(healthy[hanging])
            took = trio.current_time() - began
            assert len(mount.calls.waiting()) == 100
            for scope in scopes:
                scope.cancel()
        mount.standin.faults.clear()
        assert took <= own_latencies * LATENCY_SECONDS + 1
