"""The table of options, and the parser of each type of value."""

from dataclasses import fields

import pytest

from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.core.settings_options import BY_NAME, CREDENTIALS, OPTIONS, OptionKind, is_loopback, parse

NO_RATES = ["10", "0/s", "-1/s", "1.5/s", "010/s", "10/h", "10/S", "10/sec", "/s", "1e3/s", "10/s/min", "\u0661/s"]


def test_every_option_has_a_field_and_a_default_that_parses():
    """The table and the value have the same names, and no default refuses itself."""
    names = {item.name for item in fields(Settings)}
    assert {option.field for option in OPTIONS} <= names
    assert names - {option.field for option in OPTIONS} == {"credentials", "state_dir", "runtime_dir", "foreground"}
    for option in OPTIONS:
        parse(option, option.default)


def test_options_hold_no_credentials():
    """No credential is an option."""
    assert not set(CREDENTIALS) & BY_NAME.keys()


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("memory_size", "512", 512),
        ("memory_size", "64k", 64 * 2**10),
        ("memory_size", "64MiB", 64 * 2**20),
        ("memory_size", " 2G ", 2 * 2**30),
        ("timeout", "2.5s", 2.5),
        ("timeout", 30, 30.0),
        ("timeout", "86400", 86_400.0),
        ("connections", "256", 256),
        ("uid", "0", 0),
        ("umask", "0o027", 0o027),
        ("offline", True, True),
        ("offline", "OFF", False),
        ("formats", ["mp3", "wav"], ("mp3", "wav")),
        ("formats", "WAV, mp3", ("wav", "mp3")),
        ("formats", "auto", ()),
        ("timezone", "Europe/Berlin", "Europe/Berlin"),
        ("profile", "a.b-c_9", "a.b-c_9"),
        ("log_level", "Debug", "debug"),
        ("log_format", "JSON", "json"),
        ("thumbnailers", "Head", "head"),
        ("wire", "Stock", "stock"),
        ("names", "IDS", "ids"),
        ("v2_url", "https://h/v2/", "https://h/v2"),
        ("log_file", "", None),
        ("rate", "", None),
        ("rate", " 10/s ", "10/s"),
        ("rate", "10000/min", "10000/min"),
    ],
)
def test_values_as_they_are_written(name: str, raw: object, value: object) -> None:
    """Text, and TOML's own types, give the value of the option's type."""
    assert parse(BY_NAME[name], raw) == value


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("memory_size", "many", "'many' is not a size"),
        ("timeout", "soon", "is not a number of seconds"),
        ("timeout", "86401", "is not between 0 and 86400 seconds"),
        ("timeout", "-1", "is not between"),
        ("connections", "257", "a number from 1 to 256"),
        ("uid", str(2**32 - 1), "a numeric id"),
        ("umask", "8", "an octal mask"),
        ("offline", "perhaps", "'perhaps' is neither yes nor no"),
        ("formats", "flac", "none of auto, mp3, wav or mp3,wav"),
        ("timezone", "../etc", "is not a time zone"),
        ("profile", "a:b", "is not a profile name"),
        ("log_level", "loud", "'loud' is none of debug, info, warning, error"),
        ("log_format", "xml", "'xml' is neither text nor json"),
        ("thumbnailers", "none", "'none' is neither allow nor head"),
        ("wire", "curl", "'curl' is neither own nor stock"),
        ("names", "mine", "'mine' is neither people nor ids"),
        *(("rate", text, "is not a rate of requests; write it like 10/s or 600/min") for text in NO_RATES),
        ("rate", "10001/s", "'10001/s' is more than 10000 requests"),
        ("memory_size", "", "must not be empty"),
        ("log_file", "a\nb", "one line without control characters"),
        ("log_file", {}, "takes a path, not a table or list"),
    ],
)
def test_values_that_are_none(name: str, raw: object, says: str) -> None:
    """A value of another type is refused in one line, which says what the option takes."""
    with pytest.raises(UsageError) as caught:
        parse(BY_NAME[name], raw)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_how_an_option_is_spelt(option) -> None:
    """The flag, the variable and the metavar come from the name and the type."""
    assert option.flag == "--" + option.name.replace("_", "-")
    assert option.variable == "CFFS_" + option.name.upper()
    assert (option.metavar == "") is (option.kind is OptionKind.FLAG)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8/v2", True),
        ("http://LOCALHOST./v2", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:8", True),
        ("http://127.0.0.1.example.com", False),
        ("http://128.0.0.1", False),
        ("http://localhost.example.com", False),
        ("https://", False),
    ],
)
def test_this_machine_by_its_spelling(url: str, expected: bool) -> None:
    """No name is resolved, so only spellings that can mean nothing else count."""
    assert is_loopback(url) is expected
