"""How many latencies pass before the first byte of a path that nobody listed, and how many requests it costs."""

from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from cffs.core.names import encode_name
from cffs.standin.account import Account
from cffs.standin.answers import Options
from tests.fuse.kernel import Kernel
from tests.fuse.kernelless_mount import World

#: Of a request, in the test's time: under what makes a body late.
LATENCY_SECONDS = 0.8
ORIGINS = {
    "all": Options(),
    "no dates": Options(send_last_modified=False),
    "not embedded": Options(embed_recordings=False),
    "the documents alone": Options(seed_only=True),
}


@pytest.fixture
def clock() -> MockClock:
    """Jumps once nothing has come by the network of this machine for a moment."""
    return MockClock(autojump_threshold=0.05)


def paths(account: Account, *, v1: bool, v2: bool, options: Options) -> dict[str, float]:
    """Files of every kind that the credentials and the origin give, each in a place of its own, and how many latencies
    their first byte may take."""
    calls = [c for c in account.call_ids() if account.call_row(c).get("campaignId") and account.recording_ids(c)]
    ids = [number for call_id in calls for number in account.recording_ids(call_id)]
    found: dict[str, float] = {}
    if v1:
        found[f"recordings/{ids[0]}.wav"] = 1.3
        found[
            f"campaigns/{account.call_row(calls[3])['campaignId']}/{calls[3]}/{account.recording_ids(calls[3])[0]}.wav"
        ] = 2.3
    if v2 and not options.seed_only:
        found[f"recordings/{ids[1]}.mp3"] = 1.3
    if v1 and v2:
        row = account.recording_rows(calls[4])[0]
        found[f"campaigns/{account.call_row(calls[4])['campaignId']}/{calls[4]}/{encode_name(row['name'])}.mp3"] = 2.3
    if v2:
        media_id = account.media.media_ids()[0]
        url = account.media.media_row(media_id, root_url="")["publicUrl"]
        found[f"media/{media_id}.{url.rpartition('.')[2]}"] = 1.3
        found[f"media/public/{url.rpartition('/')[2]}"] = 1.3
    return found


async def test_sixteen_programs(world, clock: MockClock):
    """Two hundred names of one folder, read by sixteen at a time, take hardly longer than their requests, one each."""
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


async def first_byte(kernel: Kernel, path: str) -> float:
    """The latencies until the first byte."""
    began = trio.current_time()
    async with kernel.opened(path) as (_inode, info):
        assert await kernel.operations.read(info.fh, 0, 4096)
        return (trio.current_time() - began) / LATENCY_SECONDS


def bodies(mount: World) -> Counter[str]:
    """Requests for bytes and for anything else."""
    return Counter("body" if record.range else "metadata" for record in mount.standin.requests)


@pytest.mark.parametrize("checks_modes", [True, False], ids=["modes checked", "modes not checked"])
@pytest.mark.parametrize("which", [{}, {"v2": False}, {"v1": False}], ids=["both", "v1", "v2"])
@pytest.mark.parametrize("origin", ORIGINS)
async def test_the_first_byte(world, clock: MockClock, origin, which, checks_modes):
    """1.3 latencies where the file's folder is known, 2.3 below a call that nobody knows: one request for the bytes,
    and for the metadata one, or for a call those that tell of it."""
    made, options = Account(seed=5, calls=40, media=4, dynamic=4), ORIGINS[origin]
    async with world(made, options=options, timeout_seconds=120.0, budget_seconds=100.0, **which) as mount:
        kernel = Kernel(mount.operations, checks_modes=checks_modes)
        mount.standin.link.latency_seconds = LATENCY_SECONDS
        wanted = paths(made, v1=which.get("v1", True), v2=which.get("v2", True), options=options)
        took = {}
        for path in wanted:
            mount.standin.log.clear()
            took[path] = await first_byte(kernel, path)
            await trio.sleep(5 * LATENCY_SECONDS)
            is_nested = path.startswith("campaigns/")
            cost = bodies(mount)
            assert cost["body"] == 1, (path, [(r.kind, r.path, r.range) for r in mount.standin.requests])
            # once a mount the first question about what is by id costs another, where there may be no such thing
            is_told = origin in ("all", "not embedded")
            most = {True: 4, False: 0 if is_told and path.startswith("recordings/") else 1}[is_nested]
            assert cost["metadata"] <= most + 2 * (options.seed_only and path == next(iter(wanted))), (
                path,
                [(r.kind, r.path, r.range) for r in mount.standin.requests],
            )
        assert {path: time for path, time in took.items() if time > wanted[path]} == {}
