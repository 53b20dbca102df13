"""The settings of a mount, validated, and the slice of them for each floor.

It owns what values fit together. It must not read files, the environment or the command line, nor know which of them a
value came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from cffs.core.errors import UsageError
from cffs.core.settings_options import RequestRate, is_loopback, parse_rate
from cffs.core.source import Api, Source
from cffs.core.units import BLOCK_NBYTES, GIB, MIB

#: Room for a block being read and one being fetched, for each of a few files: a smaller cache is of no use.
LEAST_MEMORY_NBYTES = 8 * BLOCK_NBYTES
#: In less time no handshake with a distant service succeeds.
LEAST_TIMEOUT_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The account's secrets; never shown. An API without credentials is not used."""

    apikey: str | None = field(default=None, repr=False)
    login: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    account_login: str | None = field(default=None, repr=False)
    account_password: str | None = field(default=None, repr=False)

    @property
    def has_v1(self) -> bool:
        """True where v1 can be asked."""
        return bool(self.apikey)

    @property
    def has_v2(self) -> bool:
        """True where v2 can be asked."""
        return bool(self.login and self.password)

    @property
    def has_account(self) -> bool:
        """True where the operations of the account's owner can be asked."""
        return bool(self.account_login and self.account_password)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSettings:
    """What `callfire/` needs to reach the service. URLs have no trailing slash, no query, no userinfo."""

    v1_url: str
    v2_url: str
    credentials: Credentials
    timeout_seconds: float
    connections: int
    ca_bundle: Path | None
    insecure_http: bool
    offline: bool
    wire: str = "own"
    rate: RequestRate | None = None

    def url_of(self, source: Source) -> str:
        """The URL of an object, without credentials: v1's key is no part of it."""
        return f"{self.v1_url if source.api is Api.V1 else self.v2_url}/{source.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """What `reader/` and `cache/` need."""

    memory_nbytes: int
    connections: int
    timeout_seconds: float
    revalidate_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSettings:
    """What `catalog/` and `tree/` need. `formats` is () for auto, else the forms that listings show, in order.
    `lists_ids` is True where listings show ids instead of names for people."""

    dir_ttl_seconds: float
    formats: tuple[str, ...]
    exact_sizes: bool
    offline: bool
    timeout_seconds: float
    lists_ids: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseSettings:
    """What `fuse/` needs: the shown owner, the mode mask, how long an application may wait, and whether the mount
    itself refuses every write (`ro`)."""

    uid: int
    gid: int
    umask: int
    timeout_seconds: float
    is_read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The value of every option of `core/settings_options`, and the paths that the process supplied.

    Paths are absolute. `foreground` and the folders `state_dir` and `runtime_dir` are not options: the command line
    supplies them. Raises UsageError (one line) where the values do not fit together; `repr` shows no secret.
    """

    credentials: Credentials
    cache_dir: Path
    state_dir: Path
    runtime_dir: Path
    uid: int
    gid: int
    v1_url: str
    v2_url: str
    profile: str | None = None
    config: Path | None = None
    cache_nbytes: int = 2 * GIB
    memory_nbytes: int = 64 * MIB
    timeout_seconds: float = 30.0
    dir_ttl_seconds: float = 60.0
    revalidate_seconds: float = 0.0
    connections: int = 16
    rate: str | None = None
    #: It may hold a password.
    shared: str | None = field(default=None, repr=False)
    formats: tuple[str, ...] = ()
    timezone: str = "UTC"
    names: str = "people"
    writable: bool = False
    upload_limit_nbytes: int = 100 * MIB
    notes: Path | None = None
    offline: bool = False
    exact_sizes: bool = False
    xattrs: bool = False
    ca_bundle: Path | None = None
    insecure_http: bool = False
    wire: str = "own"
    allow_other: bool = False
    thumbnailers: str = "allow"
    umask: int = 0
    log_file: Path | None = None
    log_level: str = "info"
    log_format: str = "text"
    audit_log: Path | None = None
    debug: bool = False
    foreground: bool = False

    def __post_init__(self) -> None:
        for flag, url in (("--v1-url", self.v1_url), ("--v2-url", self.v2_url)):
            if not url.lower().startswith("https:") and not is_loopback(url) and not self.insecure_http:
                raise UsageError(f"{flag}: plain http would show the credentials; use https, or --insecure-http")
        if self.memory_nbytes < LEAST_MEMORY_NBYTES:
            raise UsageError(f"--memory-size: too small for any block; give {LEAST_MEMORY_NBYTES // MIB}M or more")
        if 0 < self.cache_nbytes < LEAST_MEMORY_NBYTES:
            least = LEAST_MEMORY_NBYTES // MIB
            raise UsageError(f"--cache-size: too small for any block; give {least}M or more, or 0 for none")
        if self.timeout_seconds < LEAST_TIMEOUT_SECONDS:
            raise UsageError(f"--timeout: nothing answers that fast; give {LEAST_TIMEOUT_SECONDS} or more")
        given = self.credentials
        for name, one, other in (
            ("login", given.login, given.password),
            ("account_login", given.account_login, given.account_password),
        ):
            if bool(one) != bool(other):
                password = name.replace("login", "password")
                missing = password if one else name
                raise UsageError(f"{name} and {password} work only together; set CFFS_{missing.upper()} too")

    @property
    def is_read_only(self) -> bool:
        """Whether the kernel is to refuse every write itself (the mount option `ro`)."""
        return not self.writable and self.notes is None

    @property
    def label(self) -> str:
        """The mount's name for people and in the mount table: the profile, or `default`."""
        return self.profile or "default"

    @property
    def kernel_checks_modes(self) -> bool:
        """Whether the mount has `default_permissions`.

        A private writable mount does not: by modes alone its one user would get EACCES where EROFS is promised. A mount
        for other users does, because modes alone decide what they may do.
        """
        return self.is_read_only or self.allow_other

    def require_credentials(self) -> None:
        """Raise UsageError where there are credentials for neither API."""
        if not self.credentials.has_v1 and not self.credentials.has_v2:
            raise UsageError(
                "no credentials: run `cffs login`, or set CFFS_APIKEY (v1), or CFFS_LOGIN and CFFS_PASSWORD (v2); "
                "`cffs demo` needs none"
            )

    def origin(self) -> OriginSettings:
        """What `callfire/` needs."""
        return OriginSettings(
            v1_url=self.v1_url,
            v2_url=self.v2_url,
            credentials=self.credentials,
            timeout_seconds=self.timeout_seconds,
            connections=self.connections,
            ca_bundle=self.ca_bundle,
            insecure_http=self.insecure_http,
            offline=self.offline,
            wire=self.wire,
            rate=None if self.rate is None else parse_rate(self.rate),
        )

    def reader(self) -> ReaderSettings:
        """What `reader/` and `cache/` need."""
        return ReaderSettings(
            memory_nbytes=self.memory_nbytes,
            connections=self.connections,
            timeout_seconds=self.timeout_seconds,
            revalidate_seconds=self.revalidate_seconds,
        )

    def tree(self) -> TreeSettings:
        """What `catalog/` and `tree/` need."""
        return TreeSettings(
            dir_ttl_seconds=self.dir_ttl_seconds,
            formats=self.formats,
            exact_sizes=self.exact_sizes,
            offline=self.offline,
            timeout_seconds=self.timeout_seconds,
            lists_ids=self.names == "ids",
        )

    def fuse(self) -> FuseSettings:
        """What `fuse/` needs."""
        return FuseSettings(
            uid=self.uid,
            gid=self.gid,
            umask=self.umask,
            timeout_seconds=self.timeout_seconds,
            is_read_only=self.is_read_only,
        )

    def to_plain(self) -> dict[str, object]:
        """Everything, secrets included, in JSON's types: only for the pipe from the command to its daemon."""
        plain: dict[str, object] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            plain[item.name] = str(value) if isinstance(value, Path) else value
        plain["credentials"] = {item.name: getattr(self.credentials, item.name) for item in fields(self.credentials)}
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> "Settings":
        """The settings that `to_plain` wrote; raises TypeError or ValueError for anything else."""
        values = {
            name: Path(value) if name in _PATHS and isinstance(value, str) else value for name, value in plain.items()
        }
        credentials, formats = values.pop("credentials", None), values.pop("formats", None)
        if not isinstance(credentials, Mapping) or not isinstance(formats, list | tuple):
            raise ValueError("not the settings of a mount")
        return cls(credentials=Credentials(**credentials), formats=tuple(formats), **values)  # type: ignore[arg-type]  # our own JSON


_PATHS = frozenset({"config", "cache_dir", "state_dir", "runtime_dir", "ca_bundle", "log_file", "audit_log", "notes"})
