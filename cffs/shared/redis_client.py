"""The Redis client: connections, scripts, and words for what went wrong.

Every value is bytes. The library repeats nothing by itself, because the time of a call is short and is kept elsewhere;
it follows MOVED and ASK of a cluster.

Owns how the library is set up, and what its exceptions mean. It must not know deadlines, nor what is kept.
"""

import hashlib
import os
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import coredis
import trio
from coredis.connection import BaseConnectionParams, TCPLocation, UnixDomainSocketLocation
from coredis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    InvalidResponse,
    NoScriptError,
    ProtocolError,
    ReadOnlyError,
    RedisClusterError,
    ResponseError,
    UnknownCommandError,
)
from coredis.exceptions import ConnectionError as ConnectionLost
from coredis.pool import ClusterConnectionPool, ConnectionPool
from coredis.retry import NoRetryPolicy

from cffs.core.server_url import ServerUrl
from cffs.shared.bounded_connection import BoundedNode, BoundedSocket, BoundedTcp

Client = coredis.Redis[bytes] | coredis.RedisCluster[bytes]
Argument = bytes | int | str

#: Errors in orderly replies that concern every call, and not the one that got them.
_FATAL = (AuthenticationError, ReadOnlyError, ClusterDownError, UnknownCommandError)
#: What an error means for users; the first that fits.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (AuthenticationError, "it refuses the user or the password"),
    (AuthorizationError, "its user may not do what is needed"),
    (UnknownCommandError, "it is too old; Redis 6 or newer is needed, or Valkey"),
    (ProtocolError, "it is too old; Redis 6 or newer is needed, or Valkey"),
    (BusyLoadingError, "it is still loading what it holds"),
    (ReadOnlyError, "it is a replica, which takes no writes"),
    (ClusterDownError, "the cluster is down"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted; give --ca-bundle the authority that signed it"),
    (ssl.SSLError, "TLS failed; its port may be one without TLS"),
    (TimeoutError, "no answer in time"),
    (trio.TooSlowError, "no answer in time"),
    (OSError, "no connection"),
    (InvalidResponse, "its answers make no sense"),
    (ValueError, "its answers make no sense"),
    (AssertionError, "its answers make no sense"),
    (ConnectionLost, "the connection was lost"),
    (RedisClusterError, "no node of the cluster can be asked"),
    (ResponseError, "it answers with an error"),
    (Exception, "its answers make no sense"),
)


#: What else may be wrong with a certificate, by the numbers of OpenSSL's X509_V_ERR_…
_CERTIFICATE_REASONS = {
    9: "its certificate is not valid yet; look at the clocks",
    10: "its certificate has expired",
    62: "its certificate is not for the host that the URL names",
    64: "its certificate is not for the address that the URL names",
}


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, which the server runs as one step."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False)  # the server's own name for a script
        object.__setattr__(self, "sha", digest.hexdigest())


def make_client(url: ServerUrl, *, tls: ssl.SSLContext | None) -> Client:
    """A client that connects when it is entered, or at its first call. No I/O."""
    login: BaseConnectionParams = {"username": url.username, "password": url.password, "ssl_context": tls}
    if url.is_cluster:
        nodes = [TCPLocation(host, port) for host, port in url.nodes]
        # the check of its coverage would need the command CONFIG, which few users may call
        cluster = ClusterConnectionPool(
            startup_nodes=nodes, connection_class=BoundedNode, skip_full_coverage_check=True, **login
        )
        return coredis.RedisCluster(connection_pool=cluster, verify_version=False, retry_policy=NoRetryPolicy())
    login["db"] = url.database
    pool: ConnectionPool[BoundedTcp] | ConnectionPool[BoundedSocket]
    if url.path:
        pool = ConnectionPool(connection_class=BoundedSocket, location=UnixDomainSocketLocation(url.path), **login)
    else:
        pool = ConnectionPool(connection_class=BoundedTcp, location=TCPLocation(*url.nodes[0]), **login)
    return coredis.Redis(connection_pool=pool, verify_version=False, retry_policy=NoRetryPolicy())


async def evaluate(client: Client, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> object:
    """The script's answer; its text is sent where the server does not have it.

    Always a checkpoint; the script may have run after a cancellation. Raises what the library does.
    """
    try:
        return await client.evalsha(script.sha, keys=list(keys), args=list(arguments))
    except NoScriptError:
        return await client.eval(script.text, keys=list(keys), args=list(arguments))


def batches(keys: Sequence[bytes], *, most: int, is_cluster: bool) -> Iterator[list[bytes]]:
    """The keys in lists of at most `most`, each of which one script can take: in a cluster, of one slot."""
    groups = dict[bytes, list[bytes]]()
    for key in keys:
        groups.setdefault(key.partition(b"}")[0] if is_cluster else b"", []).append(key)
    for group in groups.values():
        for start in range(0, len(group), most):
            yield group[start : start + most]


def is_refusal(error: BaseException) -> bool:
    """Whether the error is an orderly reply that concerns its call alone, such as "out of memory"."""
    return isinstance(error, ResponseError) and not isinstance(error, _FATAL)


def reason_of(error: BaseException) -> str:
    """Why a call or a connection failed, in a few words, without any text of the server's."""
    chain = list(_causes(error))
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError) and one.verify_code in _CERTIFICATE_REASONS:
            return _CERTIFICATE_REASONS[one.verify_code]
    for kind, words in _REASONS:
        if any(isinstance(one, kind) for one in chain):
            numbers = [one.errno for one in chain if isinstance(one, OSError) and one.errno]
            return f"{words}: {os.strerror(numbers[0])}" if numbers and kind is OSError else words
    return type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what is grouped in it, and what caused each."""
    pending = [error]
    while pending:
        one = pending.pop()
        yield one
        if isinstance(one, BaseExceptionGroup):
            pending.extend(one.exceptions)
        if one.__cause__ is not None:
            pending.append(one.__cause__)
