"""The address of a shared server, and what of it may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.errors import UsageError
from cffs.core.server_url import ServerUrl, parse_server_url

SECRET = "sEcReT"


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("redis://h", ServerUrl(nodes=(("h", 6379),)), "redis://h:6379"),
        ("REDIS://h:1/3", ServerUrl(nodes=(("h", 1),), database=3), "redis://h:1/3"),
        ("redis://h/", ServerUrl(nodes=(("h", 6379),)), "redis://h:6379"),
        ("rediss://:p@h:1", ServerUrl(nodes=(("h", 1),), is_tls=True, password="p"), "rediss://h:1"),
        ("redis://u:p%40%3A@h", ServerUrl(nodes=(("h", 6379),), username="u", password="p@:"), "redis://h:6379"),
        ("redis://u@[::1]:7", ServerUrl(nodes=(("::1", 7),), username="u"), "redis://[::1]:7"),
        ("redis://a:1,b:2,c", ServerUrl(nodes=(("a", 1), ("b", 2), ("c", 6379))), "redis://a:1,b:2,c:6379"),
        ("redis://a:1,a:1/2", ServerUrl(nodes=(("a", 1),), database=2), "redis://a:1/2"),
        ("unix:///run/r.sock", ServerUrl(path="/run/r.sock"), "unix:///run/r.sock"),
        ("unix://u:p@/r%20s?db=2", ServerUrl(path="/r s", username="u", password="p", database=2), "unix:///r s?db=2"),
    ],
)
def test_addresses(text: str, expected: ServerUrl, shown: str) -> None:
    """Each form gives its parts, and is shown without user and password."""
    assert parse_server_url(text) == expected
    assert parse_server_url(text).shown == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:6379",
        f"http://:{SECRET}@h",
        f"redis://:{SECRET}@",
        f"redis://:{SECRET}@h:0",
        f"redis://:{SECRET}@h:65536",
        f"redis://:{SECRET}@h:x",
        f"redis://:{SECRET}@h/zero",
        f"redis://:{SECRET}@h/1/2",
        f"redis://:{SECRET}@h?db=1",
        f"redis://:{SECRET}@h#{SECRET}",
        f"redis://:{SECRET}@a,b/1",
        f"redis://:{SECRET}@a,,b",
        f"redis://a:{SECRET}@@h",
        f"redis://{SECRET} @h",
        f"unix://:{SECRET}@relative",
        f"unix://{SECRET}",
        f"unix:///r?db={SECRET}",
    ],
)
def test_what_is_no_address(text: str) -> None:
    """Anything else is refused in one line, without any part of it."""
    with pytest.raises(UsageError) as caught:
        parse_server_url(text)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """No text raises anything but UsageError, and what is shown of an address leads to that server again."""
    try:
        url = parse_server_url("redis://" + text)
    except UsageError:
        return
    again = parse_server_url(url.shown)
    assert (again.nodes, again.database) == (url.nodes, url.database)


def test_a_password_does_not_show() -> None:
    """Neither `repr` nor what is shown holds the login."""
    url = parse_server_url(f"redis://{SECRET}:{SECRET}@h")
    assert SECRET not in repr(url) + url.shown
