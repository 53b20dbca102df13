"""The option table: every option's name, type, default, help and the floors that use it, and the one parser per type.

It must not know where a value came from (command line, environment, config file) nor read anything itself.
`core/settings` resolves it, `cli/` makes its command-line options and messages from it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from cffs.core.errors import UsageError
from cffs.core.units import GIB, KIB, MIB


class Kind(StrEnum):
    """The types of value; each has one parser in `parse`."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. `default` is spelt as a user would; "" means none, or one that the process supplies (`places`)."""

    name: str
    kind: Kind
    default: str
    help: str
    floors: tuple[str, ...]
    field: str

    @property
    def flag(self) -> str:
        """How the command line spells it."""
        return "--" + self.name.replace("_", "-")

    @property
    def metavar(self) -> str:
        """How help spells its value; empty for a flag."""
        return "" if self.kind is Kind.FLAG else self.kind.value.upper().replace(" ", "_")

    @property
    def variable(self) -> str:
        """How the environment spells it."""
        return "CFFS_" + self.name.upper()


def _option(name: str, kind: Kind, default: str, floors: str, text: str, *, field: str = "") -> Option:
    return Option(name=name, kind=kind, default=default, help=text, floors=tuple(floors.split()), field=field or name)


#: The whole of contract section 2, in the order in which `--help` shows it.
OPTIONS: tuple[Option, ...] = (
    _option("profile", Kind.PROFILE, "", "cli daemon", "The [profile.NAME] table of the config file."),
    _option("config", Kind.PATH, "", "cli", "Config file  [$XDG_CONFIG_HOME/cffs/config.toml]"),
    _option("v1_url", Kind.URL, "https://www.callfire.com/cloud/1", "callfire", "Base of the v1 API."),
    _option("v2_url", Kind.URL, "https://api.callfire.com/v2", "callfire", "Base of the v2 API."),
    _option("cache_dir", Kind.PATH, "", "cache catalog", "Cache folder  [$XDG_CACHE_HOME/cffs]"),
    _option("cache_size", Kind.SIZE, "2G", "cache", "Audio kept on disk; 0 for none  [2G]", field="cache_nbytes"),
    _option("memory_size", Kind.SIZE, "64M", "cache reader", "Audio kept in memory  [64M]", field="memory_nbytes"),
    _option("timeout", Kind.SECONDS, "30", "all", "No call into the mount takes longer  [30]", field="timeout_seconds"),
    _option(
        "dir_ttl", Kind.SECONDS, "60", "catalog tree", "How long a listing is fresh  [60]", field="dir_ttl_seconds"
    ),
    _option(
        "revalidate",
        Kind.SECONDS,
        "0",
        "reader",
        "Ask at open if a cached file changed  [off]",
        field="revalidate_seconds",
    ),
    _option("connections", Kind.COUNT, "16", "callfire reader", "Connections at most  [16]"),
    _option("formats", Kind.FORMATS, "auto", "tree", "Audio that listings show: mp3,wav  [auto]"),
    _option("timezone", Kind.TIMEZONE, "", "tree catalog", "Time zone of names and days  [the machine's]"),
    _option("names", Kind.NAMES, "people", "tree", "Listings for people, or ids for scripts  [people]"),
    _option("writable", Kind.FLAG, "no", "writer fuse", "Allow uploads, credentials and caller ids."),
    _option("upload_limit", Kind.SIZE, "100M", "writer", "Largest upload  [100M]", field="upload_limit_nbytes"),
    _option("offline", Kind.FLAG, "no", "callfire tree", "Serve only what is known; ask nothing."),
    _option("exact_sizes", Kind.FLAG, "no", "tree", "stat shows exact sizes too, at a request each."),
    _option("xattrs", Kind.FLAG, "no", "fuse", "Show extended attributes."),
    _option("ca_bundle", Kind.PATH, "", "callfire", "Trust these certificate authorities (PEM)."),
    _option("insecure_http", Kind.FLAG, "no", "callfire", "Allow plain http to hosts other than this one."),
    _option("wire", Kind.WIRE, "own", "callfire", "HTTP by sockets of our own, or stock httpx  [own]"),
    _option("allow_other", Kind.FLAG, "no", "fuse daemon", "Let other users in."),
    _option("thumbnailers", Kind.THUMBNAILERS, "allow", "daemon", "Thumbnailers read: allow, or head only  [allow]"),
    _option("uid", Kind.ID, "", "fuse daemon", "Owner shown; root mounting becomes that user."),
    _option("gid", Kind.ID, "", "fuse daemon", "Group shown, likewise."),
    _option("umask", Kind.UMASK, "000", "fuse", "Permission bits taken away, octal."),
    _option("log_file", Kind.PATH, "", "daemon", "Log here  [foreground: stderr, background: syslog]"),
    _option("log_level", Kind.LEVEL, "info", "daemon", "debug, info, warning or error  [info]"),
    _option("log_format", Kind.LOG_FORMAT, "text", "daemon", "text or json  [text]"),
    _option("audit_log", Kind.PATH, "", "daemon", "A JSON line per recording opened."),
    _option("debug", Kind.FLAG, "no", "daemon cli", "Log everything, show tracebacks, allow tracing."),
)
BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}

#: What proves who we are: in the environment and the config, each also as `..._file`; never on the command line.
CREDENTIALS = ("apikey", "login", "password", "account_login", "account_password")

_UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB}
_SIZE = re.compile(r"(\d{1,18})([KMG]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)
#: No colon or slash: the name is part of the mount's source (`callfire:NAME`) and of messages.
_PROFILE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_FLAGS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_FORMATS: Mapping[str, tuple[str, ...]] = {
    "auto": (), "mp3": ("mp3",), "wav": ("wav",), "mp3,wav": ("mp3", "wav"), "wav,mp3": ("wav", "mp3"),
}  # fmt: skip
_LEVELS = ("debug", "info", "warning", "error")
#: A uid of 2^32-1 means "none" to the kernel.
_LARGEST_ID = 2**32 - 2
#: A day: above it a wait is a mistake.
_LONGEST_SECONDS = 86_400.0
_MOST_CONNECTIONS = 256

Value = str | int | float | bool | tuple[str, ...] | None


def parse(option: Option, raw: object) -> Value:
    """The value that `raw` (text, or a TOML string, number or boolean) spells for this option.

    Raises UsageError, one line that names neither the option (the caller knows how it was spelt) nor a secret.
    """
    if isinstance(raw, list) and option.kind is Kind.FORMATS and all(isinstance(item, str) for item in raw):
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
    """Bytes from `512`, `64K`, `64M`, `2G` (powers of 1024); raises UsageError."""
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


def _level(text: str) -> str:
    if text.lower() not in _LEVELS:
        raise UsageError(f"{text!r} is none of {', '.join(_LEVELS)}")
    return text.lower()


def _log_format(text: str) -> str:
    if text.lower() not in ("text", "json"):
        raise UsageError(f"{text!r} is neither text nor json")
    return text.lower()


def _wire(text: str) -> str:
    if text.lower() not in ("own", "stock"):
        raise UsageError(f"{text!r} is neither own nor stock")
    return text.lower()


def _thumbnailers(text: str) -> str:
    if text.lower() not in ("allow", "head"):
        raise UsageError(f"{text!r} is neither allow nor head")
    return text.lower()


def _names(text: str) -> str:
    if text.lower() not in ("people", "ids"):
        raise UsageError(f"{text!r} is neither people nor ids")
    return text.lower()


def _url(text: str) -> str:
    """The base without its trailing slash. The message shows no part of the URL: a secret may be in it."""
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


_PARSERS = {
    Kind.TEXT: _plain,
    Kind.PROFILE: _profile,
    Kind.URL: _url,
    Kind.PATH: _plain,
    Kind.SIZE: parse_size,
    Kind.SECONDS: _seconds,
    Kind.COUNT: _count,
    Kind.FLAG: _flag,
    Kind.FORMATS: _formats,
    Kind.TIMEZONE: _zone,
    Kind.ID: _id,
    Kind.UMASK: _umask,
    Kind.LEVEL: _level,
    Kind.LOG_FORMAT: _log_format,
    Kind.THUMBNAILERS: _thumbnailers,
    Kind.WIRE: _wire,
    Kind.NAMES: _names,
}


def is_loopback(url: str) -> bool:
    """True when the URL's host can only be this machine, told from its spelling alone (no look-up)."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host, re.ASCII) is not None
