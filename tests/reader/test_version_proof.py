"""Proofs by bytes, against a plain comparison."""

from hypothesis import given
from hypothesis import strategies as st

from cffs.core.byte_range import ByteRange
from cffs.reader.cursor import DeliveredRanges
from cffs.reader.version_proof import proof_of

DELIVERED = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=20)


@given(
    delivered_runs=DELIVERED,
    other=st.sets(st.integers(0, 71), max_size=3),
    steps=st.lists(st.integers(0, 72), max_size=5),
)
def test_proofs_compare_what_was_delivered(
    delivered_runs: list[tuple[int, int]], other: set[int], steps: list[int]
) -> None:
    """A proof holds where every byte that readers were given is equal in what came, and fails at the first that
    differs, or is not here any more."""
    body = bytes(range(100, 172))
    changed = bytes(255 - byte if place in other else byte for place, byte in enumerate(body))
    found = DeliveredRanges()
    delivered_bytes = set[int]()
    for start, nbytes in delivered_runs:
        found.add(ByteRange(start, start + nbytes))
        delivered_bytes |= set(range(start, start + nbytes))
    assert bool(found) is bool(delivered_bytes)
    proof = proof_of(found, lambda piece: memoryview(body)[piece.start : piece.stop])
    assert proof is not None
    assert proof.stop == max(delivered_bytes, default=-1) + 1
    for position in sorted(steps):
        if not proof.compare(position, lambda piece: memoryview(changed)[piece.start : piece.stop]):
            assert other & delivered_bytes
            return
    is_same = proof.compare(72, lambda piece: memoryview(changed)[piece.start : piece.stop])
    assert is_same is not bool(other & delivered_bytes)
    assert proof.is_complete is is_same
    proof.restart()
    assert proof.is_complete is not bool(delivered_bytes)
    if delivered_bytes:
        assert proof_of(found, lambda _piece: None) is None
        assert not proof.compare(72, lambda _piece: None)
