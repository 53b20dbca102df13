"""The keyring hides every secret."""

import pytest

from cffs.callfire.keyring import Keyring
from cffs.callfire.url_policy import origin_of
from cffs.core.errors import MalformedAnswer
from cffs.core.settings import Credentials
from cffs.core.source import Api


def test_the_keyring_hides_every_spelling():
    """Plain, percent-encoded and Base64 forms vanish from texts, and from URLs meant for other hosts."""
    known = Credentials(apikey="KEY/with+odd&chars", login="login", password="secret-word")
    keyring = Keyring(known, dict.fromkeys(Api, origin_of("https://api.example.com")))
    text = "KEY/with+odd&chars KEY%2Fwith%2Bodd%26chars secret-word bG9naW46c2VjcmV0LXdvcmQ="
    assert keyring.redacted(text) == "*** *** *** ***"
    assert keyring.without_secrets("https://x/y?a=1&apikey=zz&b=2") == "https://x/y?a=1&b=2"
    assert keyring.without_secrets("https://x/y?apikey=zz") == "https://x/y"
    with pytest.raises(MalformedAnswer):
        keyring.without_secrets("https://x/secret-word")
