"""Where a request may go: hostile URLs, odd spellings of addresses, origins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.callfire.url_policy import Origin, Reach, configured_origin, origin_of, reach_of, redirect_target
from cffs.core.errors import MalformedAnswer, UsageError

PUBLIC = Origin("https", "api.example.com", 443)
LOOPBACK = Origin("http", "127.0.0.1", 8000)


@pytest.mark.parametrize(
    "location",
    [
        "http://cdn.example.com/x",
        "ftp://cdn.example.com/x",
        "file:///etc/passwd",
        "https://user:pw@cdn.example.com/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[64:ff9b::7f00:1]/x",
        "https://[fe80::1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://0x7f000001/",
        "https://127.1/x",
        "https://0177.0.0.1/x",
        "https://100.64.0.1/x",
        "https://cdn.example.com\\@127.0.0.1/",
        "https://cdn.exa\tmple.com/",
        "https://cdn.example.com:99999/",
        "https://ｃdn.example.com/",
        "https://[::1",
    ],
)
def test_hostile_targets_are_refused(location):
    """A target that is not plainly a public https URL is not followed."""
    with pytest.raises(MalformedAnswer):
        redirect_target("https://api.example.com/v2/x", location, base=PUBLIC)


def test_ordinary_targets_are_followed():
    """Absolute, relative and same-host targets are followed without their fragments; http only around a loopback
    origin."""
    assert redirect_target("https://api.example.com/v2/x", "y?a=b#c", base=PUBLIC) == "https://api.example.com/v2/y?a=b"
    assert redirect_target("https://api.example.com/v2/x", "https://cdn.example.com/y", base=PUBLIC).endswith("com/y")
    assert redirect_target("http://127.0.0.1:8000/x", "http://127.0.0.1:9/y", base=LOOPBACK) == "http://127.0.0.1:9/y"
    with pytest.raises(MalformedAnswer):
        redirect_target("https://127.0.0.1:8000/x", "http://127.0.0.1:9/y", base=LOOPBACK)


@given(st.text(max_size=60))
def test_any_location_is_a_target_or_refused(location):
    """No text raises any other error, and no target has another scheme than https."""
    try:
        target = redirect_target("https://api.example.com/v2/x", location, base=PUBLIC)
    except MalformedAnswer:
        return
    assert origin_of(target).scheme == "https"


@given(st.ip_addresses())
def test_only_global_addresses_are_public(address):
    """No private, loopback, link-local or multicast address passes, in either family."""
    if reach_of(str(address)) is Reach.PUBLIC:
        assert address.is_global
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_multicast


@pytest.mark.parametrize("url", ["http://api.example.com/v2", "api.example.com", "https://h/v2?x=1", "https://u:p@h/"])
def test_bad_base_urls_are_usage_errors_without_the_url(url):
    """They are refused at construction, and never repeated, because they may hold a secret."""
    with pytest.raises(UsageError) as caught:
        configured_origin(url, insecure_http=False, option="--v2-url")
    assert url not in str(caught.value)
    assert configured_origin("http://api.example.com/v2", insecure_http=True, option="--v2-url").scheme == "http"
    assert configured_origin("http://localhost:8/v2", insecure_http=False, option="--v2-url").is_loopback


@pytest.mark.parametrize("target", ["http://10.0.0.1/x", "https://192.168.1.1/x", "http://169.254.169.254/x"])
def test_a_loopback_origin_leads_to_loopback_alone(target):
    """A service on this machine may redirect to this machine, but not to a private address of the network around it."""
    base = origin_of("http://127.0.0.1:8080/cloud/1")
    assert redirect_target("http://127.0.0.1:8080/a", "http://127.0.0.1:9090/b", base=base) == "http://127.0.0.1:9090/b"
    with pytest.raises(MalformedAnswer):
        redirect_target("http://127.0.0.1:8080/a", target, base=base)


@pytest.mark.parametrize("target", ["https://127.0.0.1/x", "https://localhost/x", "https://169.254.169.254/x"])
def test_an_origin_in_a_private_network_does_not_lead_to_this_machine(target):
    """It leads neither to loopback nor to a link-local address (the metadata service of a cloud)."""
    base = origin_of("https://10.0.0.1/cloud/1")
    assert redirect_target("https://10.0.0.1/a", "https://10.0.0.2/b", base=base) == "https://10.0.0.2/b"
    with pytest.raises(MalformedAnswer):
        redirect_target("https://10.0.0.1/a", target, base=base)


@pytest.mark.parametrize("base", ["http://127.0.0.1:8080", "https://10.0.0.1", "https://api.example.com"])
@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "224.0.0.1", "255.255.255.255", "[ff02::1]"])  # noqa: S104 - refused, never bound
def test_addresses_of_no_service_are_never_followed(base, host):
    """These are the unspecified address (which Linux connects to itself), broadcast and multicast, for any origin."""
    with pytest.raises(MalformedAnswer):
        redirect_target(f"{base}/a", f"https://{host}/b", base=origin_of(base))
