"""What the words of a refusal are about."""

import pytest

from cffs.core.refusals import is_about_access, is_about_rate_limit, is_about_the_key


@pytest.mark.parametrize(
    "text",
    ["Rate Limit Reached", "rate-limit exceeded", "API rate limiting", "RATE_LIMIT", "Too many requests", "throttled",
     "Request limit exceeded", "at most 20 requests per second"],
)  # fmt: skip
def test_words_of_a_rate_limit(text: str) -> None:
    """A rate limit is recognised in any spelling, unless the words are only the name that was asked for."""
    assert is_about_rate_limit(text)
    assert not is_about_the_key(text)


@pytest.mark.parametrize("text", ["not found", "corporate limits", "call limit of a campaign", "accurate limits", ""])
def test_other_words(text: str) -> None:
    """A word within another word, and another kind of limit, are no rate limit."""
    assert not is_about_rate_limit(text)


def test_the_name_that_was_asked_for_is_no_word_of_the_refusal() -> None:
    """A recording may be called `rate limit`."""
    path = "calls/5/recordings/rate%20limit%20%231.mp3"
    assert not is_about_rate_limit("no recording rate limit #1", path=path)
    assert not is_about_rate_limit("no recording rate limit #1.mp3", path=path)
    assert is_about_rate_limit("rate limit reached for rate limit #1", path=path)


@pytest.mark.parametrize(
    ("text", "about_the_key", "about_access"),
    [
        ("Invalid API key", True, True),
        ("apikey missing", True, True),
        ("Not authorized", True, True),
        ("no permission for campaign 1", False, True),
        ("access denied", False, True),
        ("not allowed to see this call", False, True),
        ("monkey business", False, False),
        ("Call not found", False, False),
    ],
)
def test_who_asks_and_what_is_asked_for(text: str, about_the_key: bool, about_access: bool) -> None:
    """Only words about the key mean that the key is bad."""
    assert (is_about_the_key(text), is_about_access(text)) == (about_the_key, about_access)
