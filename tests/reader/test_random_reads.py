"""The tool `tests/reader/random_reads`, for a short while."""

import pytest

from tests.reader.random_reads import play


async def test_random_preads(tmp_path):
    """Random preads by tasks with two handles each, over HTTP, under eviction and cancellation: no byte is wrong."""
    found = await play(seed=2, count=4_000, folder=tmp_path)
    assert (found.wrong, found.first_wrong) == (0, "")
    assert found.counts["evictions"] > 100
    assert found.counts["misses"] > 0.3
    assert found.counts["corrupt_blocks"] == found.counts["memory_over"] == 0
    assert found.cancelled > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_many_random_preads(tmp_path):
    """More random preads, with at least 1000 evictions and 100 cancellations: no byte is wrong."""
    found = await play(seed=3, count=100_000, folder=tmp_path)
    assert (found.wrong, found.first_wrong) == (0, "")
    assert found.counts["evictions"] > 1000
    assert found.cancelled > 100
