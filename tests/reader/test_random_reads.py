"""The tool `tests/reader/random_reads.py`, for a short while; run it by hand for a million."""

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
    """The same for longer, with what issue 5 asks for: 1000 evictions, 100 cancellations."""
    found = await play(seed=3, count=100_000, folder=tmp_path)
    assert (found.wrong, found.first_wrong) == (0, "")
    assert found.counts["evictions"] > 1000
    assert found.cancelled > 100
