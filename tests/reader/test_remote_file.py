"""One version of one object: what its READs count, and which tier serves them."""

from pathlib import Path

from trio.testing import MockClock

from tests.reader.simulated_link import MIB, Remote, disk_in, laboratory

KIB = 1024


async def test_a_read_counts_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A READ is one hit of memory, or one miss; one that only the disk served is a hit of the disk as well, and the
    history names the tier of the last."""
    disk = disk_in(tmp_path)
    async with laboratory(latency_seconds=0.05, disk=disk) as lab:
        remote = lab.add(Remote(total=300 * KIB))
        counters = lab.cache.counters
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        assert handle.try_read(0, 4096) is None
        assert (counters.hits, counters.misses) == (0, 0)
        assert await handle.read(0, 4096) == remote.content(0, 4096)
        assert (counters.hits, counters.misses, lab.objects.disk_hits) == (0, 1, 0)
        assert lab.objects.report(lab.key).tier == "service"
        assert await handle.read(0, 4096) == remote.content(0, 4096)
        assert handle.try_read(0, 4096) == remote.content(0, 4096)
        assert handle.try_read(MIB, 4096) == b""
        assert (counters.hits, counters.misses, lab.objects.disk_hits) == (3, 1, 0)
        assert lab.objects.report(lab.key).tier == "memory"
        await handle.read(299 * KIB, KIB)
        lab.cache.drop_object(lab.key)
        assert await handle.read(0, 4096) == remote.content(0, 4096)
        assert (counters.misses, lab.objects.disk_hits) == (2, 1)
        assert lab.objects.report(lab.key).tier == "disk"
    disk.close()
