"""Escapes of texts: what is one is read, what is none stays, and nothing grows."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.catalog.unescape import unescaped

URL = "https://h/a%20b.wav?k=1&x"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (URL.replace("/", r"\/"), URL),
        (URL.replace("/", r"\u002F").replace("=", r"\u003d"), URL),
        (URL.replace("/", r"\x2f"), URL),
        (URL.replace("&", "&amp;"), URL),
        (URL.replace("&", "&amp;amp;"), URL),
        (f"&lt;{URL}&gt;&quot;&apos;&#39;&#x2F;", f"<{URL}>\"''/"),
        (quote(URL, safe=""), URL + "\n"),
        (quote(quote(URL, safe=""), safe=""), URL + "\n"),
        (f"n={quote(URL, safe='')}&m=50%25", f"n={URL}\n&m=50%25"),
        (
            "50%25 &copy; &#0; &#10; &#x0A; \\n \\u00e9 https%3A%2F x",
            "50%25 &copy; &#0; &#10; &#x0A; \\n \\u00e9 https%3A%2F x",
        ),
    ],
)
def test_escapes(text: str, plain: str) -> None:
    """JSON's, XML's and HTML's, percent-encoding of whole URLs; in texts within texts, too."""
    assert unescaped(text.encode()) == plain.encode()


@given(st.binary() | st.text("&amp;lt;#x2F/\\u005c%3Ahttps%2F25:").map(str.encode))
def test_nothing_grows(text: bytes) -> None:
    """No text raises or gets longer."""
    assert len(unescaped(text)) <= len(text)
