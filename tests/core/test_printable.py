import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.printable import MAX_LINE_CHARACTERS, printable_line


@given(st.text(st.one_of(st.characters(), st.characters(categories=["Cs", "Cc", "Cf"]), st.sampled_from("<>/:@?&= "))))
def test_any_text_is_one_printable_line(text: str) -> None:
    """The result is short, printable, without outer blanks, and can be written as UTF-8."""
    line = printable_line(text)
    assert len(line) <= MAX_LINE_CHARACTERS
    assert line.isprintable()
    assert line == line.strip()
    line.encode()


@pytest.mark.parametrize(
    "text",
    [
        "bad request: /files/recording/5?apikey=S3CRET",
        "see https://user:S3CRET@host/path?apikey=S3CRET&x=1 now",
        "Invalid API key: S3CRET",
        '{"password": "S3CRET"}',
        "Authorization: Basic S3CRET",
        "https://host/x#S3CRET",
    ],
)
def test_echoed_secrets_are_left_out(text: str) -> None:
    """Whatever part of the request an error page echoes, its key does not come through."""
    assert "S3CRET" not in printable_line(text)


def test_what_is_harmless_stays() -> None:
    """Tags go, words and a URL's path stay, a long text ends in an ellipsis."""
    assert printable_line("<h1>Not\n found</h1> at https://host/a/b?c") == "Not found at https://host/a/b"
    assert printable_line("x" * 300) == "x" * 199 + "…"
