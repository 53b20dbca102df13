"""Properties of cutting answers into blocks: every whole block, once."""

from hypothesis import given
from hypothesis import strategies as st

from cffs.cache.disk_format import SLOT_NBYTES, Layout
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES
from cffs.reader.shared_opener import whole_blocks
from cffs.reader.shared_transfer import BlockCutter, SharedAnswer
from cffs.shared.block_store import SharedFacts
from tests.reader.simulated_link import Remote

SIZES = st.integers(1, 5 * BLOCK_NBYTES)
PIECES = st.lists(st.integers(1, 2 * BLOCK_NBYTES), max_size=12)


@given(SIZES, SIZES, PIECES)
def test_every_whole_block_is_cut_once(total, start, pieces):
    """However an answer comes in pieces, its blocks are those that lie in it whole, each with its bytes."""
    start, remote = min(start, total - 1), Remote(total=total, seed=3)
    cutter, position, found = BlockCutter(Layout(total), start), start, {}
    for nbytes in pieces:
        for index, value in cutter.cut(memoryview(remote.content(position, nbytes))):
            assert index not in found
            found[index] = value[SLOT_NBYTES:]
        position += nbytes
    stop = min(position, total)
    expected = whole_blocks(ByteRange(start, max(start, stop)), total)
    assert sorted(found) == list(expected)
    for index, data in found.items():
        block = Layout(total).block_range(index)
        assert data == remote.content(block.start, block.nbytes)


@given(SIZES, st.integers(0, 5 * BLOCK_NBYTES), st.none() | SIZES)
def test_whole_blocks_lie_in_the_range(nbytes, start, total):
    """A lease is of blocks that the answer brings from their first byte to their last."""
    wanted = ByteRange(start, start + nbytes)
    for index in whole_blocks(wanted, total):
        assert index * BLOCK_NBYTES >= start
        assert (index + 1) * BLOCK_NBYTES <= wanted.stop or (total is not None and wanted.stop >= total)


@given(SIZES, SIZES, SIZES, st.integers(1, 5), st.lists(st.integers(1, BLOCK_NBYTES), max_size=60))
async def test_an_answer_of_blocks_has_the_bytes_that_were_wanted(total, start, nbytes, blocks, buffers):
    """From the first wanted byte to the last that is wanted and there, whatever the buffers."""
    remote = Remote(total=total, seed=3)
    wanted = ByteRange(min(start, total - 1), min(start, total - 1) + nbytes).clamped(total)
    first, layout = wanted.start // BLOCK_NBYTES, Layout(total)
    run = range(first, min(first + blocks, layout.blocks))
    data = [memoryview(remote.content(layout.block_range(i).start, layout.block_range(i).nbytes)) for i in run]
    answer = SharedAnswer(SharedFacts(total_nbytes=total, validator='"v"'), wanted, data)
    stop = min(wanted.stop, layout.block_range(run[-1]).stop)
    assert (answer.start, answer.stop, answer.total) == (wanted.start, stop, total)
    found = b""
    for size in [*buffers, *[BLOCK_NBYTES] * 6]:
        buffer = memoryview(bytearray(size))
        found += buffer[: await answer.receive_into(buffer)]
    assert found == remote.content(wanted.start, stop - wanted.start)
    assert await answer.receive_into(memoryview(bytearray(1))) == 0
