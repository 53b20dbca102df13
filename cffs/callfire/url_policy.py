"""Where a request may go: origins, redirect targets and addresses; pure.

It owns the decisions about hostile URLs. It must not know httpx, DNS or the values of credentials; the code that
resolves a name passes each address to `reach_of`.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urljoin, urlsplit

from cffs.core.errors import MalformedAnswer, UsageError

#: Only the characters that RFC 3986 allows. Parsers differ in how they read backslashes, blanks and controls, and a
#: check that reads another host than the connection does is no check.
_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]{1,8192}", re.ASCII)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_\-.]{0,251}[a-z0-9_])?\.?|\[[0-9a-f:.]{2,45}\]", re.ASCII)
#: A host whose last label is a number is an IPv4 address in some spelling (2130706433, 0x7f.1). Only the four-part
#: decimal form passes, because resolvers differ in how they read the others.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Reach(Enum):
    """Where an address lies. OTHER is an address that no service has: multicast, reserved, or unspecified (which Linux
    connects to this machine)."""

    PUBLIC = auto()
    PRIVATE = auto()
    LINK_LOCAL = auto()
    LOOPBACK = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: credentials are meant for one of these."""

    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True where the host is this machine by its spelling alone; no name is resolved."""
        if self.host == "localhost":
            return True
        address = _literal(self.host)
        return address is not None and _embedded(address).is_loopback

    @property
    def literal_reach(self) -> Reach | None:
        """Where the host lies by its spelling alone; None for a name, which must be resolved."""
        if self.is_loopback:
            return Reach.LOOPBACK
        return None if _literal(self.host) is None else reach_of(self.host)


def origin_of(url: str) -> Origin:
    """The origin of an absolute http(s) URL; raises ValueError for anything else, userinfo and odd spellings too."""
    if _URL.fullmatch(url) is None:
        raise ValueError("not a plain URL")
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    if parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc or _HOST.fullmatch(shown) is None:
        raise ValueError("not an http URL with a plain host")
    last = host.rstrip(".").rpartition(".")[2]
    if ":" not in host and _NUMERIC_LABEL.fullmatch(last) is not None and _literal(host) is None:
        raise ValueError("an address in an odd spelling")
    if ":" in host and _literal(host) is None:
        raise ValueError("not an address")
    port = parts.port  # raises the promised ValueError beyond 65535
    return Origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)


def configured_origin(url: str, *, insecure_http: bool, option: str) -> Origin:
    """The origin of a configured base URL; raises UsageError where it is none, or plain http to another machine."""
    try:
        origin = origin_of(url)
    except ValueError:
        raise UsageError(f"{option} is not an http or https URL") from None  # the text may hold a secret
    if urlsplit(url).query or urlsplit(url).fragment:
        raise UsageError(f"{option} must not hold a query or a fragment")
    if origin.scheme == "http" and not origin.is_loopback and not insecure_http:
        raise UsageError(f"{option} is plain http to another machine; use https, or --insecure-http")
    return origin


def redirect_target(current_url: str, location: str, *, base: Origin) -> str:
    """The absolute URL that an answer to `current_url` redirects to, without its fragment.

    Raises MalformedAnswer where it may not be followed: for another scheme than https (http only while the API's own
    origin `base` is loopback and the way so far was http), userinfo, odd spellings, and addresses that are not public,
    unless `base` lies in the same reach. So a service on this machine cannot redirect into the network around it, nor
    one in a private network to this machine.
    """
    try:
        if _URL.fullmatch(location.strip(" ")) is None:
            raise ValueError  # checked before joining, because urljoin silently drops tabs and line ends
        target = urljoin(current_url, location.strip(" ")).partition("#")[0]
        current, origin = origin_of(current_url), origin_of(target)
    except ValueError:
        raise MalformedAnswer("redirected to something that is no plain URL") from None  # the URL may hold a secret
    if origin.scheme != "https" and not (base.is_loopback and current.scheme == "http"):
        raise MalformedAnswer("redirected to a URL that is not https")
    if origin != base and origin.literal_reach not in (None, Reach.PUBLIC, base.literal_reach):
        raise MalformedAnswer("redirected to a private address")
    return target


def reach_of(text: str) -> Reach:
    """Where an IP address lies, with regard to an address embedded in it; OTHER for a text that is no address."""
    address = _literal(text.partition("%")[0])
    if address is None:
        return Reach.OTHER
    inner = _embedded(address)
    if inner.is_loopback:
        return Reach.LOOPBACK
    if inner.is_link_local:
        return Reach.LINK_LOCAL
    if inner.is_multicast or inner.is_reserved or inner.is_unspecified:
        return Reach.OTHER
    # Some versions of Python do not count 6to4's own block as global, so both are checked.
    return Reach.PUBLIC if address.is_global and inner.is_global else Reach.PRIVATE


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _embedded(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address in an IPv6 one (mapped, compatible, 6to4, Teredo, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
