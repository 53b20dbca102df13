"""Properties of sealed values: what was put is found, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from cffs.cache.disk_format import MARK, MARK_OFFSET, SLOT_NBYTES
from cffs.core.server_url import parse_server_url
from cffs.shared.sealed_values import hide, sealed, seed_of, unsealed
from cffs.shared.server import SharedServer

SEEDS = st.integers(0, 2**64 - 1)


@given(st.binary(max_size=300), SEEDS, st.integers(0, 2**30))
def test_a_value_gives_back_its_data(data, seed, index):
    """A sealed value holds its data, whatever they are."""
    assert unsealed(sealed(data, seed=seed, index=index), seed=seed, index=index) == data


@given(st.binary(max_size=300), SEEDS, st.integers(0, 100), st.data())
def test_a_damaged_value_is_none(data, seed, index, draw):
    """A value with one byte changed, or cut off, or longer, is taken for none."""
    value = sealed(data, seed=seed, index=index)
    at = draw.draw(st.integers(0, len(value) - 1))
    changed = bytearray(value)
    changed[at] ^= draw.draw(st.integers(1, 255))
    assert unsealed(bytes(changed), seed=seed, index=index) is None
    assert unsealed(value[:at], seed=seed, index=index) is None
    assert unsealed(value + b"\0", seed=seed, index=index) is None
    assert unsealed(None, seed=seed, index=index) is None


@given(st.binary(max_size=300), SEEDS, SEEDS, st.integers(0, 100), st.integers(0, 100))
def test_a_value_of_another_place_is_none(data, seed, other_seed, index, other_index):
    """A value under another seed, or at another place, is taken for none."""
    if (seed + index) % 2**64 != (other_seed + other_index) % 2**64:
        assert unsealed(sealed(data, seed=seed, index=index), seed=other_seed, index=other_index) is None


@given(st.binary(max_size=300), SEEDS, st.integers(0, 100))
def test_a_hidden_value_becomes_one_with_its_mark(data, seed, index):
    """A hidden value is none until its mark is written, and then it is the sealed value."""
    value = bytearray(SLOT_NBYTES) + data
    hide(value, seed=seed, index=index)
    assert unsealed(bytes(value), seed=seed, index=index) is None
    value[MARK_OFFSET : MARK_OFFSET + len(MARK)] = MARK
    assert bytes(value) == sealed(data, seed=seed, index=index)


async def test_seeds_are_secrets_of_an_account():
    """Two accounts have other seeds and keys for the same object."""
    url = parse_server_url("redis://127.0.0.1:1")
    one, two = SharedServer(url, account="one"), SharedServer(url, account="two")
    assert seed_of(one.key, "object") != seed_of(two.key, "object")
    assert seed_of(one.key, "object") == seed_of(SharedServer(url, account="one").key, "object")
    assert seed_of(one.key, "object") != seed_of(one.key, "object", "version")
