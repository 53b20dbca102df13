"""The address of a Redis server or cluster, as `--shared` takes it.

    redis://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/DATABASE]      rediss:// is by TLS
    unix://[USER[:PASSWORD]@]/PATH[?db=DATABASE]

Several hosts are nodes of one cluster. User and password are percent-encoded where they hold special characters.

Owns the grammar, and what of an address may be shown. It must not connect to anything, and no message of it shows any
part of an address, which may hold a password.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from cffs.core.errors import UsageError

_DEFAULT_PORT = 6379
_LARGEST_PORT = 65_535
_URL = re.compile(r"(redis|rediss|unix)://(?:([^@\s]*)@)?([^@\s]+)", re.IGNORECASE)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?", re.ASCII)
_HOSTS_AND_DATABASE = re.compile(r"([^/?#]+)(?:/(\d{0,4}))?", re.ASCII)
_PATH_AND_DATABASE = re.compile(r"(/[^?#]+)(?:\?db=(\d{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUrl:
    """A server by its `nodes` (host and port; several are a cluster), or by the `path` of its socket; never both."""

    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    is_tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    database: int = 0

    @property
    def is_cluster(self) -> bool:
        """Whether the nodes share the keys among them."""
        return len(self.nodes) > 1

    @property
    def shown(self) -> str:
        """The address for people, without user and password."""
        if self.path:
            return f"unix://{self.path}" + (f"?db={self.database}" if self.database else "")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes)
        return f"{'rediss' if self.is_tls else 'redis'}://{hosts}" + (f"/{self.database}" if self.database else "")


def secret_in(text: str) -> str:
    """What stands for the password in an address, as it is spelt there; empty where there is none."""
    match = _URL.fullmatch(text.strip())
    return "" if match is None else (match[2] or "").partition(":")[2]


def parse_server_url(text: str) -> ServerUrl:
    """The address that `text` spells. Raises UsageError, one line without any part of it."""
    match = _URL.fullmatch(text)
    if match is None:
        raise UsageError(
            "is not the URL of a Redis server; write it like redis://host:6379, rediss://… or unix:///path"
        )
    scheme, login, place = match[1].lower(), match[2], match[3]
    username, _, password = (login or "").partition(":")
    user, secret = unquote(username) or None, unquote(password) or None
    if scheme == "unix":
        found = _PATH_AND_DATABASE.fullmatch(place)
        if found is None:
            raise UsageError("does not name a socket by its whole path; write it like unix:///run/redis/redis.sock")
        return ServerUrl(path=unquote(found[1]), database=int(found[2] or 0), username=user, password=secret)
    found = _HOSTS_AND_DATABASE.fullmatch(place)
    if found is None:
        raise UsageError("holds more than hosts and a database; write it like redis://host:6379/0")
    nodes = tuple(_node(host) for host in found[1].split(","))
    database = int(found[2] or 0)
    if len(set(nodes)) > 1 and database:
        raise UsageError("names several hosts and a database; a cluster has database 0 only")
    return ServerUrl(
        nodes=tuple(dict.fromkeys(nodes)), is_tls=scheme == "rediss", database=database, username=user, password=secret
    )


def _node(text: str) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise UsageError("holds a host that is none; write it like redis://host:6379, several with commas between")
    port = int(match[3] or _DEFAULT_PORT)
    if not 0 < port <= _LARGEST_PORT:
        raise UsageError(f"holds a port that is none; it is a number from 1 to {_LARGEST_PORT}")
    return match[1] or match[2], port
