"""Laws of size hints."""

from hypothesis import given
from hypothesis import strategies as st

from cffs.tree.size_hints import Form, guess, usable

hints = st.integers(1, 2**40)
seconds = st.none() | st.integers(0, 10**6)
forms = st.sampled_from(Form)


@given(hints, seconds)
def test_one_form_only(hint_nbytes: int, seconds: int | None) -> None:
    """Before anything is learned a hint is shown for exactly one of the two forms, the guessed one."""
    shown = [form for form in Form if usable(form, hint_nbytes, seconds=seconds, measures=None)]
    assert shown == [guess(hint_nbytes, seconds)]


@given(forms, hints, seconds, forms)
def test_learned_rules(form: Form, hint_nbytes: int, seconds: int | None, measures: Form) -> None:
    """Once it is learned what hints measure, they are shown for that form as they are, and never for the other."""
    assert usable(form, hint_nbytes, seconds=seconds, measures=measures) == (hint_nbytes if form is measures else None)


@given(forms, seconds, st.none() | forms)
def test_no_hint(form: Form, seconds: int | None, measures: Form | None) -> None:
    """Without a hint there is none."""
    assert usable(form, None, seconds=seconds, measures=measures) is None


@given(st.integers(1, 3600))
def test_the_forms_of_speech(duration: int) -> None:
    """Sizes of real speech: mu-law and PCM WAVs are distinguished from MP3s of up to 56 kbit/s."""
    assert guess(8000 * duration + 92, duration) is Form.WAV
    assert guess(16000 * duration + 78, duration) is Form.WAV
    assert guess(1000 * duration, duration) is Form.MP3
    assert guess(7000 * duration, duration) is Form.MP3


def test_without_a_duration() -> None:
    """With no duration, or one of zero, the API's own form is meant."""
    assert guess(10**9, None) is Form.MP3
    assert guess(10**9, 0) is Form.MP3
