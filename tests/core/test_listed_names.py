"""Listed names of recordings, calls and campaigns: for any facts, unique, kept."""

import re
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.listed_names import (
    _PLAIN,
    NameParts,
    _as_stem,
    campaign_folder,
    is_dated,
    listed_stem,
    name_parts,
    other_side,
)
from cffs.core.names import MAX_NAME_NBYTES, name_nbytes
from cffs.core.probe_names import is_probe_name

BERLIN = ZoneInfo("Europe/Berlin")
MADE_MS = 1_473_781_797_000  # 2016-09-13T15:49:57Z
WHOLE = NameParts(MADE_MS, True, "14155035894", 125)
EXTENSIONS = (".mp3", ".wav", ".json")

texts = st.text(max_size=30) | st.sampled_from(
    ["", ".", "..", "-5", "._x", "a/b", "x" * 400, "ü" * 200, "\ud800", "a_5"]
)
parts = st.builds(
    name_parts,
    created_ms=st.none() | st.integers(-(2**63), 2**63 - 1),
    inbound=st.none() | st.booleans(),
    number=texts,
    seconds=st.none() | st.integers(0, 2**31 - 1),
)
ids = st.integers(1, 2**63 - 1)


@pytest.mark.parametrize(
    ("known", "name", "stem"),
    [
        (WHOLE, "call_recording", "2016-09-13_17.49.57_in_14155035894_2m05s_88"),
        (WHOLE, "", "2016-09-13_17.49.57_in_14155035894_2m05s_88"),
        (WHOLE, "voice mail", "2016-09-13_17.49.57_in_14155035894_2m05s_voice mail_88"),
        (WHOLE._replace(inbound=False, seconds=5), "", "2016-09-13_17.49.57_out_14155035894_0m05s_88"),
        (WHOLE._replace(seconds=3725), "", "2016-09-13_17.49.57_in_14155035894_62m05s_88"),
        (WHOLE._replace(seconds=0), "", "2016-09-13_17.49.57_in_14155035894_0m00s_88"),
        (WHOLE._replace(created_ms=None), "", "in_14155035894_2m05s_88"),
        (WHOLE._replace(inbound=None), "", "2016-09-13_17.49.57_14155035894_2m05s_88"),
        (WHOLE._replace(number=None), "", "2016-09-13_17.49.57_in_unknown_2m05s_88"),
        (WHOLE._replace(seconds=None), "", "2016-09-13_17.49.57_in_14155035894_88"),
        (NameParts(), "", "unknown_88"),
        (NameParts(number="+1 (415) 503/5894"), "a/b", "+1 (415) 503%2F5894_a%2Fb_88"),
    ],
)
def test_names(known: NameParts, name: str, stem: str) -> None:
    """Each part is in its place; unknown parts are left out, an unknown number is `unknown`, and the usual name is left
    out."""
    assert listed_stem(known, identity=88, zone=BERLIN, name=name) == stem


@given(st.from_regex(_PLAIN, fullmatch=True), ids)
def test_what_is_taken_as_it_stands_is_what_the_rules_give(text: str, ident: int) -> None:
    """The shortcut for a plain name gives the result of the rules for every name."""
    assert _as_stem(text, ident) == text


@given(parts, parts, texts, texts, ids, ids)
def test_unique_and_valid(one: NameParts, two: NameParts, name: str, other_name: str, ident: int, other: int) -> None:
    """For any facts, a folder can hold the name, no file manager probes for it, and it ends with the id.

    Two ids never have one name.
    """
    stem = listed_stem(one, identity=ident, zone=BERLIN, name=name)
    assert re.search(rf"[_~]{ident}( ~\d+)?\Z", stem)
    for extension in EXTENSIONS:
        assert name_nbytes(stem + extension) <= MAX_NAME_NBYTES
        assert not is_probe_name(stem + extension)
        assert not set("/\0") & set(stem + extension)
        (stem + extension).encode("utf-8")
    assert (listed_stem(two, identity=other, zone=BERLIN, name=other_name) != stem) or ident == other


@given(parts, parts, parts)
def test_a_part_that_was_given_stays(first: NameParts, second: NameParts, third: NameParts) -> None:
    """A part once given stays in the name; a part not known before joins it once, and survives being stored as text."""
    joined = first.joined_by(second)
    for given_part, new, now in zip(first, second, joined, strict=True):
        assert now == (new if given_part is None else given_part)
    assert joined.joined_by(third) == joined or not joined.is_whole
    assert NameParts.from_text(joined.to_text()) == joined


@given(st.integers(0, 2**41), ids)
def test_names_sort_by_time(created_ms: int, ident: int) -> None:
    """Of two recordings the later one is listed after the other, by its name too (in a zone whose clocks are not put
    back)."""
    zone = ZoneInfo("Asia/Kolkata")
    stems = [listed_stem(name_parts(created_ms=at, inbound=True, number="1", seconds=1), identity=ident, zone=zone)
             for at in (created_ms, created_ms + 1000) if is_dated(at)]  # fmt: skip
    assert stems == sorted(stems)


@pytest.mark.parametrize(
    ("inbound", "tried", "number"),
    [(True, "3", "1"), (False, "3", "3"), (False, "", "2"), (None, "3", "3"), (None, " ", "2")],
)
def test_the_other_side(inbound: bool | None, tried: str, number: str) -> None:
    """The other side is the caller of an inbound call, else the number tried in the recording's own attempt, else the
    call's."""
    assert other_side(inbound=inbound, from_number="1", to_number="2", tried_number=tried) == number


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Winback 2023 / phase 2", "Winback 2023 %2F phase 2"),
        ("4490010003", "4490010003 ~7"),
        ("007", "007 ~7"),
        ("2024-06", "2024-06"),
        ("calls", "calls"),
        ("", " ~7"),
        (".git", ".git ~7"),
        ("taken", "taken ~7"),
        ("x" * 300, "x" * 252 + " ~7"),
    ],
)
def test_campaigns(name: str, folder: str) -> None:
    """A campaign's folder has its name, unless that is taken, empty, too long, probed for, or looks like an id."""
    assert campaign_folder(name, identity=7, is_taken=lambda one: one == "taken") == folder
