"""Clips: the samples of the whole, whatever the origin does to ranges."""

import pytest

from cffs.core.errors import MalformedAnswer
from cffs.standin.generated_rows import is_mulaw
from cffs.standin.growing_call import GrowingCall
from cffs.standin.thread import StandinThread
from tests.core.test_wav import form, wav
from tests.tree.sample_account import MISSING, Facts, Open, Serve


def cut_of(whole: bytes, start: float, stop: float) -> bytes:
    """The samples of a stand-in's WAV (8 kHz mono, 44 or more bytes of head) in that time."""
    offset = whole.index(b"data") + 8
    frame_nbytes = int.from_bytes(whole[32:34], "little")
    return whole[offset:][int(start * 8000) * frame_nbytes : int(stop * 8000) * frame_nbytes]


def whole_of(standin: StandinThread, ident: int) -> bytes:
    """The true bytes of a recording's WAV."""
    found = standin.account.object_for(f"/cloud/1/files/recording/{ident}")
    assert found is not None
    return found.read()


@pytest.fixture
def both(standin: StandinThread, facts: Facts) -> dict[bool, int]:
    """A recording of each form: {mu-law?: id}, an hour and a minute long."""
    idents: dict[bool, int] = {}
    while len(idents) < 2:
        ident = standin.account.add_recording(facts.call, seconds=600, name=f"n{len(idents)}")
        idents.setdefault(is_mulaw(ident), ident)
    return idents


@pytest.mark.parametrize("is_mu", [False, True], ids=["pcm", "mulaw"])
@pytest.mark.parametrize(("start", "stop"), [("0", "1"), ("12.5", "14.25"), ("599", "9999"), ("0.000125", "0.00025")])
async def test_equals_the_cut(
    world: Open, standin: StandinThread, both: dict[bool, int], is_mu: bool, start: str, stop: str
) -> None:
    """A clip is a head and exactly the samples of the whole, with its size known at lookup; it fetches little else."""
    ident = both[is_mu]
    async with world() as tree:
        path = f"recordings/{ident}@{start}-{stop}.wav"
        data = await tree.data(path)
        expected = cut_of(whole_of(standin, ident), float(start), float(stop))
        assert data.endswith(expected)
        assert 44 <= len(data) - len(expected) <= 58
        assert (await tree.describe(path)).nbytes == len(data)
        assert (await tree.describe(path)).is_exact
        assert sum(record.body_nbytes for record in standin.requests if "/files/" in record.path) <= len(data) + 4096
        before = tree.requests()
        assert await tree.data(path) == data
        assert tree.requests() == before


async def test_origin_without_ranges(world: Open, served: Serve) -> None:
    """Where the origin ignores ranges, the clip is equal."""
    standin = served(honour_ranges=False)
    ident = standin.account.add_recording(Facts(standin).call, seconds=30, name="n")
    async with world(standin) as tree:
        data = await tree.data(f"recordings/{ident}@3-4.wav")
        assert data.endswith(cut_of(whole_of(standin, ident), 3, 4))


async def test_missing_moments(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A clip that is reversed, empty, beyond the end, or of a recording that does not exist is missing."""
    for path in ("1-1", "2-1", "600-700", "0-0.00001"):
        async with world() as tree:
            with pytest.raises(MISSING):
                await tree.node(f"recordings/{facts.file}@{path}.wav")
    async with world() as tree:
        for path in (
            "recordings/99@0-1.wav",
            f"recordings/{facts.file}@0-1.mp3",
            f"{facts.folder}/{facts.file}@0-1.wav",
        ):
            with pytest.raises(MISSING):
                await tree.node(path)
    async with world(v1=False) as tree:
        with pytest.raises(MISSING):
            await tree.node(f"recordings/{facts.file}@0-1.wav")


async def test_still_being_made(world: Open, standin: StandinThread) -> None:
    """A recording in progress has no clips, known before or not: a cut of what is there would be taken for a cut of the
    whole. Once finished, it has them."""
    live = GrowingCall(standin.account, standin.account.call_ids()[0], seconds=5)
    path = f"recordings/{live.id}@1-60.wav"
    async with world() as tree:
        for _ in range(2):
            with pytest.raises(MISSING):
                await tree.node(path)
        live.grow(30)
        live.finish()
        await tree.account.find_recording(live.id, patience_seconds=None)
        cut = cut_of(whole_of(standin, live.id), 1, 60)
        assert len(cut) >= 34 * 8000
        assert (await tree.data(path)).endswith(cut)


async def test_never_listed(world: Open, facts: Facts, served: Serve) -> None:
    """Clips are not listed, and cost no request where they cannot exist."""
    async with world() as tree:
        await tree.node(f"recordings/{facts.file}@0-1.wav")
        assert not any("@" in name for name in await tree.names("recordings"))
        before = tree.requests()
        with pytest.raises(MISSING):
            await tree.node(f"recordings/{facts.file}@2-1.wav")
        assert tree.requests() == before


async def test_one_object_however_it_is_spelt(world: Open, facts: Facts) -> None:
    """`@3-4`, `@03.0-4.00` and `@3.-…` with more zeros are one object: one node, one key, no further request."""
    async with world() as tree:
        path = f"recordings/{facts.file}"
        node = await tree.node(f"{path}@0-0.5.wav")
        before = tree.requests()
        for start, stop in (("00", "0.50"), ("0.0", "000.5"), ("0.000", "0.500000")):
            again = await tree.node(f"{path}@{start}-{stop}.wav")
            assert again == node
            assert tree.namespace.content(again) == tree.namespace.content(node)
        assert tree.requests() == before
        assert await tree.node(f"{path}@0-0.05.wav") != node


async def test_cost(world: Open, standin: StandinThread, facts: Facts) -> None:
    """Forty clips of one recording cost its head once and their samples; once it was read whole, clips that were never
    read cost nothing, even with the network gone."""
    ident = standin.account.add_recording(facts.call, seconds=150, name="n")
    async with world() as tree:
        await tree.account.find_recording(ident, patience_seconds=None)
        before = tree.requests()
        for number in range(40):
            await tree.data(f"recordings/{ident}@{number}-{number + 1}.wav")
        assert tree.requests() == before + 1 + 40
        whole = await tree.data(f"recordings/{ident}.wav")
        before = tree.requests()
        standin.faults.add("status", status=500)
        for number in range(100, 140):
            data = await tree.data(f"recordings/{ident}@{number}-{number + 1}.wav")
            assert data.endswith(cut_of(whole, number, number + 1))
        assert tree.requests() == before


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xfb\x90\0" * 4000, "no WAV file"),
        (wav(form(0x83, block=10, bits=0), bytes(range(1, 251)) * 100), "G.729"),
    ],
    ids=["MP3", "G.729"],
)
async def test_a_recording_that_cannot_be_cut(
    world: Open, facts: Facts, standin: StandinThread, data: bytes, says: str
) -> None:
    """A recording that exists is never missing: where it cannot be cut, that is an unusable answer, and says why."""
    standin.account.replace_object(f"/cloud/1/files/recording/{facts.file}", data=data)
    async with world() as tree:
        for _ in range(2):
            with pytest.raises(MalformedAnswer, match=says):
                await tree.node(f"recordings/{facts.file}@0-1.wav")


async def test_another_version_is_another_object(world: Open, facts: Facts, standin: StandinThread) -> None:
    """Once the mount has noticed that a recording changed, its clips are of the new version, those that were kept too.
    Under the old names they are other nodes, so that no page of one is shown as the other's."""
    path = f"recordings/{facts.file}"
    async with world() as tree:
        node, old = await tree.node(f"{path}@0-1.wav"), await tree.data(f"{path}@0-1.wav")
        standin.account.replace_object(f"/cloud/1/files/recording/{facts.file}")
        tree.objects.forget(f"{path.replace('recordings', 'recording')}.wav")
        assert await tree.node(f"{path}@0-1.wav") != node
        new = await tree.data(f"{path}@0-1.wav")
        assert new != old
        assert new.endswith(cut_of(whole_of(standin, facts.file), 0, 1))
