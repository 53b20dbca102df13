"""The table of options, with the parser of each type of value.

It owns every option's name, type, default, help and the floors that use it. It must not know where a value came from
(command line, environment, config file), nor read anything itself.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from cffs.core.errors import UsageError
from cffs.core.server_url import parse_server_url
from cffs.core.units import GIB, KIB, MIB


class OptionKind(StrEnum):
    """The types of values; each has a parser."""

    TEXT = "text"
    PROFILE = "name"
    URL = "url"
    PATH = "path"
    SIZE = "size"
    SECONDS = "seconds"
    COUNT = "number"
    FLAG = "flag"
    FORMATS = "formats"
    TIMEZONE = "zone"
    ID = "id"
    UMASK = "mode"
    LEVEL = "level"
    LOG_FORMAT = "form"
    WIRE = "wire"
    THUMBNAILERS = "policy"
    NAMES = "whose"
    RATE = "rate"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. `default` is spelt as a user would write it; "" means none, or one that the process supplies."""

    name: str
    kind: OptionKind
    default: str
    help: str
    floors: tuple[str, ...]
    field: str

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def metavar(self) -> str:
        """Its value in the help; empty for a flag."""
        return "" if self.kind is OptionKind.FLAG else self.kind.value.upper().replace(" ", "_")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "CFFS_" + self.name.upper()


def _option(name: str, kind: OptionKind, default: str, floors: str, text: str, *, field: str = "") -> Option:
    return Option(name=name, kind=kind, default=default, help=text, floors=tuple(floors.split()), field=field or name)


#: Every option, in the order in which `--help` shows it.
OPTIONS: tuple[Option, ...] = (
    _option("profile", OptionKind.PROFILE, "", "cli daemon", "The [profile.NAME] table of the config file."),
    _option("config", OptionKind.PATH, "", "cli", "Config file  [$XDG_CONFIG_HOME/cffs/config.toml]"),
    _option("v1_url", OptionKind.URL, "https://www.callfire.com/cloud/1", "callfire", "Base of the v1 API."),
    _option("v2_url", OptionKind.URL, "https://api.callfire.com/v2", "callfire", "Base of the v2 API."),
    _option("cache_dir", OptionKind.PATH, "", "cache catalog", "Cache folder  [$XDG_CACHE_HOME/cffs]"),
    _option("cache_size", OptionKind.SIZE, "2G", "cache", "Audio kept on disk; 0 for none  [2G]", field="cache_nbytes"),
    _option(
        "memory_size", OptionKind.SIZE, "64M", "cache reader", "Audio kept in memory  [64M]", field="memory_nbytes"
    ),
    _option(
        "timeout", OptionKind.SECONDS, "30", "all", "No call into the mount takes longer  [30]", field="timeout_seconds"
    ),
    _option(
        "dir_ttl",
        OptionKind.SECONDS,
        "60",
        "catalog tree",
        "How long a listing is fresh  [60]",
        field="dir_ttl_seconds",
    ),
    _option(
        "revalidate",
        OptionKind.SECONDS,
        "0",
        "reader",
        "Ask at open if a cached file changed  [off]",
        field="revalidate_seconds",
    ),
    _option("connections", OptionKind.COUNT, "16", "callfire reader", "Connections at most  [16]"),
    _option("rate", OptionKind.RATE, "", "callfire", "Requests at most, such as 10/s or 600/min  [off]"),
    _option("shared", OptionKind.SERVER, "", "shared", "Share by this Redis server, redis://HOST:PORT  [off]"),
    _option("formats", OptionKind.FORMATS, "auto", "tree", "Audio that listings show: mp3,wav  [auto]"),
    _option("timezone", OptionKind.TIMEZONE, "", "tree catalog", "Time zone of names and days  [the machine's]"),
    _option("names", OptionKind.NAMES, "people", "tree", "Listings for people, or ids for scripts  [people]"),
    _option("writable", OptionKind.FLAG, "no", "writer fuse", "Allow uploads, credentials and caller ids."),
    _option("notes", OptionKind.PATH, "", "notes fuse", "Let notes be written beside recordings; keep them here."),
    _option("upload_limit", OptionKind.SIZE, "100M", "writer", "Largest upload  [100M]", field="upload_limit_nbytes"),
    _option("offline", OptionKind.FLAG, "no", "callfire tree", "Serve only what is known; ask nothing."),
    _option("exact_sizes", OptionKind.FLAG, "no", "tree", "stat shows exact sizes too, at a request each."),
    _option("xattrs", OptionKind.FLAG, "no", "fuse", "Show extended attributes."),
    _option("ca_bundle", OptionKind.PATH, "", "callfire", "Trust these certificate authorities (PEM)."),
    _option("insecure_http", OptionKind.FLAG, "no", "callfire", "Allow plain http to hosts other than this one."),
    _option("wire", OptionKind.WIRE, "own", "callfire", "HTTP by sockets of our own, or stock httpx  [own]"),
    _option("allow_other", OptionKind.FLAG, "no", "fuse daemon", "Let other users in."),
    _option(
        "thumbnailers", OptionKind.THUMBNAILERS, "allow", "daemon", "Thumbnailers read: allow, or head only  [allow]"
    ),
    _option("uid", OptionKind.ID, "", "fuse daemon", "Owner shown; root mounting becomes that user."),
    _option("gid", OptionKind.ID, "", "fuse daemon", "Group shown, likewise."),
    _option("umask", OptionKind.UMASK, "000", "fuse", "Permission bits taken away, octal."),
    _option("log_file", OptionKind.PATH, "", "daemon", "Log here  [foreground: stderr, background: syslog]"),
    _option("log_level", OptionKind.LEVEL, "info", "daemon", "debug, info, warning or error  [info]"),
    _option("log_format", OptionKind.LOG_FORMAT, "text", "daemon", "text or json  [text]"),
    _option("audit_log", OptionKind.PATH, "", "daemon", "A JSON line per recording opened."),
    _option("debug", OptionKind.FLAG, "no", "daemon cli", "Log everything, show tracebacks, allow tracing."),
)
BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}

#: The secrets: in the environment and the config, each also as `..._file`; never on the command line.
CREDENTIALS = ("apikey", "login", "password", "account_login", "account_password")

_UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB}
_SIZE = re.compile(r"(\d{1,18})([KMG]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)
#: No colon or slash, because the name is part of the mount's source (`callfire:NAME`).
_PROFILE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_FLAGS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_FORMATS: Mapping[str, tuple[str, ...]] = {
    "auto": (), "mp3": ("mp3",), "wav": ("wav",), "mp3,wav": ("mp3", "wav"), "wav,mp3": ("wav", "mp3"),
}  # fmt: skip
#: A uid of 2^32-1 means "none" to the kernel.
_LARGEST_ID = 2**32 - 2
#: A day; a longer wait is a mistake.
_LONGEST_SECONDS = 86_400.0
_MOST_CONNECTIONS = 256
#: More than a mount can send in a second: a larger number is a mistake, or means no limit.
_MOST_REQUESTS = 10_000
_SPANS = {"s": 1.0, "min": 60.0}
_RATE = re.compile(r"([1-9]\d{0,8})/(s|min)", re.ASCII)

Value = str | int | float | bool | tuple[str, ...] | None


def parse(option: Option, raw: object) -> Value:
    """The value of this option that `raw` (text, or a TOML string, number or boolean) stands for.

    Raises UsageError: one line, without the option's name (the caller knows how it was spelt) and without a secret.
    """
    if isinstance(raw, list) and option.kind is OptionKind.FORMATS and all(isinstance(item, str) for item in raw):
        raw = ",".join(raw)
    if isinstance(raw, bool):
        raw = "yes" if raw else "no"
    if not isinstance(raw, str | int | float):
        raise UsageError(f"takes a {option.kind}, not a table or list")
    text = str(raw).strip()
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise UsageError("must be one line without control characters")
    if not text:
        if not option.default:
            return None
        raise UsageError("must not be empty")
    return _PARSERS[option.kind](text)


def _plain(text: str) -> Value:
    return text


def parse_size(text: str) -> int:
    """The bytes that `512`, `64K`, `64M` or `2G` stands for (powers of 1024); raises UsageError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a size; write it like 512K, 64M or 2G")
    return int(match[1]) * _UNITS[match[2].upper()]


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError as error:
        raise UsageError(f"{text!r} is not a number of seconds") from error
    if not math.isfinite(seconds) or not 0 <= seconds <= _LONGEST_SECONDS:
        raise UsageError(f"{text!r} is not between 0 and {_LONGEST_SECONDS:.0f} seconds")
    return seconds


def _whole(text: str, *, base: int = 10, largest: int, what: str, least: int = 0) -> int:
    try:
        number = int(text, base)
    except ValueError as error:
        raise UsageError(f"{text!r} is not {what}") from error
    if not least <= number <= largest:
        raise UsageError(f"{text!r} is not {what}")
    return number


def _count(text: str) -> int:
    return _whole(text, largest=_MOST_CONNECTIONS, least=1, what=f"a number from 1 to {_MOST_CONNECTIONS}")


@dataclass(frozen=True, slots=True)
class RequestRate:
    """At most so many `requests` in any span of `span_seconds`."""

    requests: int
    span_seconds: float

    def __str__(self) -> str:
        return f"{self.requests}/{next(unit for unit, seconds in _SPANS.items() if seconds == self.span_seconds)}"


def parse_rate(text: str) -> RequestRate:
    """The rate that `10/s` or `600/min` stands for; raises UsageError."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a rate of requests; write it like 10/s or 600/min")
    if int(match[1]) > _MOST_REQUESTS:
        raise UsageError(f"{text!r} is more than {_MOST_REQUESTS} requests; leave it out for no limit")
    return RequestRate(int(match[1]), _SPANS[match[2]])


def _rate(text: str) -> str:
    parse_rate(text)
    return text


def _server(text: str) -> str:
    parse_server_url(text)
    return text


def _id(text: str) -> int:
    return _whole(text, largest=_LARGEST_ID, what="a numeric id")


def _umask(text: str) -> int:
    return _whole(text.removeprefix("0o"), base=8, largest=0o777, what="an octal mask like 022")


def _flag(text: str) -> bool:
    try:
        return _FLAGS[text.lower()]
    except KeyError as error:
        raise UsageError(f"{text!r} is neither yes nor no") from error


def _formats(text: str) -> tuple[str, ...]:
    try:
        return _FORMATS[text.lower().replace(" ", "")]
    except KeyError as error:
        raise UsageError(f"{text!r} is none of auto, mp3, wav or mp3,wav") from error


def _zone(text: str) -> str:
    if _ZONE.fullmatch(text) is None:
        raise UsageError(f"{text!r} is not a time zone; write it like Europe/Berlin")
    return text


def _profile(text: str) -> str:
    if _PROFILE.fullmatch(text) is None:
        raise UsageError(f"{text!r} is not a profile name; use letters, digits, dot, dash and underscore")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    """A parser of one of these words, in any case."""

    def parse_word(text: str) -> str:
        if text.lower() in words:
            return text.lower()
        if len(words) == 2:
            raise UsageError(f"{text!r} is neither {words[0]} nor {words[1]}")
        raise UsageError(f"{text!r} is none of {', '.join(words)}")

    return parse_word


def _url(text: str) -> str:
    """The base without its trailing slash. No message shows any part of the URL: it may hold a secret."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("is not a URL; write it like https://api.callfire.com/v2") from error
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise UsageError("holds a name or password; take it out and use CFFS_LOGIN and CFFS_PASSWORD")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise UsageError("holds a query or fragment; give the base of the API only")
    if parts.scheme.lower() not in ("https", "http") or not host or re.search(r"\s", text):
        raise UsageError("is not an https URL; write it like https://api.callfire.com/v2")
    return text.rstrip("/")


_PARSERS: Mapping[OptionKind, Callable[[str], Value]] = {
    OptionKind.TEXT: _plain,
    OptionKind.PROFILE: _profile,
    OptionKind.URL: _url,
    OptionKind.PATH: _plain,
    OptionKind.SIZE: parse_size,
    OptionKind.SECONDS: _seconds,
    OptionKind.COUNT: _count,
    OptionKind.FLAG: _flag,
    OptionKind.FORMATS: _formats,
    OptionKind.TIMEZONE: _zone,
    OptionKind.ID: _id,
    OptionKind.UMASK: _umask,
    OptionKind.LEVEL: _one_of("debug", "info", "warning", "error"),
    OptionKind.LOG_FORMAT: _one_of("text", "json"),
    OptionKind.THUMBNAILERS: _one_of("allow", "head"),
    OptionKind.WIRE: _one_of("own", "stock"),
    OptionKind.NAMES: _one_of("people", "ids"),
    OptionKind.RATE: _rate,
    OptionKind.SERVER: _server,
}


def is_loopback(url: str) -> bool:
    """True where the URL's host can only be this machine, by its spelling alone (no name is resolved)."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host, re.ASCII) is not None
