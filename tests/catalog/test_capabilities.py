"""Capabilities: what hints measure, and whether v1's file ids are recording ids."""

from hypothesis import given
from hypothesis import strategies as st

from cffs.catalog.capabilities import ENOUGH, IN_A_ROW, FileIds, HintMeasure, Verdict


@given(st.lists(st.tuples(st.sampled_from(["mp3", "wav"]), st.integers(1, 9), st.integers(1, 9))))
def test_hints_follow_the_witnesses(seen):
    """A form is measured only if a hint of it was its size, and denied only if several were not and none was."""
    measure = HintMeasure()
    for form, hint, exact in seen:
        measure.note(form, hint_nbytes=hint, exact_nbytes=exact)
    equal = {form for form, hint, exact in seen if hint == exact}
    measured = measure.measured_form()
    assert measured is None or measured in equal
    for form in ("mp3", "wav"):
        different = sum(seen_form == form and hint != exact for seen_form, hint, exact in seen)
        assert measure.is_not(form) == (form not in equal and different >= ENOUGH)
        assert not (measure.is_not(form) and measured == form)


@given(st.lists(st.sampled_from(["same", "none", "other", "no-recordings"]), max_size=120))
def test_twenty_in_a_row_settle_it(calls):
    """Twenty calls in a row that agree, or twenty that are empty, settle it for good; nothing less does."""
    file_ids = FileIds()
    run, last, settled = 0, "", None
    for what in calls:
        recordings = [] if what == "no-recordings" else [1, 2]
        files = {"same": [2, 1], "none": [], "other": [7], "no-recordings": []}[what]
        told = file_ids.note(files, recordings)
        if settled is None and what != "no-recordings":
            run = run + 1 if what == last else 1
            last = what
            if run >= IN_A_ROW and what in ("same", "none"):
                settled = Verdict(what)
                assert told
    assert file_ids.verdict == (settled or Verdict.OPEN)
