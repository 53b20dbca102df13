import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.ids import MAX_ID, parse_id


@given(st.integers(1, MAX_ID))
def test_every_id_has_its_decimal_spelling(number: int) -> None:
    """parse_id undoes str for every id."""
    assert parse_id(str(number)) == number


@given(st.text(st.sampled_from("0123456789-+_. ٣\n"), max_size=22))
def test_an_id_has_one_spelling_only(text: str) -> None:
    """A text that parse_id accepts is the canonical spelling of an id in range."""
    number = parse_id(text)
    assert number is None or (str(number) == text and 1 <= number <= MAX_ID)


@pytest.mark.parametrize("text", ["", "0", "007", "-1", "+1", " 1", "1\n", "٣", "1_0", str(MAX_ID + 1), "9" * 5000])
def test_what_is_no_id(text: str) -> None:
    """Zero, signs, blanks, other scripts, leading zeros and more than 63 bits are no ids."""
    assert parse_id(text) is None
