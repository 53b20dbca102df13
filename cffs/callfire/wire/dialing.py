"""What may be connected to: trusted certificates, and addresses of redirects.

It owns the TLS context and the check of the addresses that a redirect resolves to. It must not know requests or pools.
"""

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio

from cffs.callfire.url_policy import Origin, Reach, reach_of
from cffs.core.errors import UsageError

Resolve = Callable[[str, int], Awaitable[list[str]]]


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """A context that trusts the system's authorities, or those of `ca_bundle` alone; verification is never off.

    Raises UsageError for a bad bundle.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_bundle is None else str(ca_bundle))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"no usable certificates in --ca-bundle: {error.strerror or 'not PEM'}") from None
    context.set_alpn_protocols(["http/1.1"])
    # A renegotiation would make writing wait for reading; TLS 1.3 has none.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


async def permitted_addresses(host: str, port: int, *, base: Origin, resolve: Resolve) -> list[str]:
    """The addresses of a redirect's host, resolved once; the caller connects to these addresses and no others.

    A checkpoint where it resolves. Raises OSError where the name has no address, or where any of them is not public and
    the API's own `base` is not in the same reach.
    """
    addresses = await resolve(host, port)
    beyond = set(map(reach_of, addresses)) - {Reach.PUBLIC}
    if beyond and not beyond <= await _reaches(base, resolve):
        raise OSError("redirected to a private address")
    return addresses


def guard_for(base: Origin) -> Resolve:
    """`permitted_addresses` for the redirects of the API at `base`, by the system's resolver."""
    return partial(permitted_addresses, base=base, resolve=resolved)


async def _reaches(base: Origin, resolve: Resolve) -> set[Reach]:
    """The reaches of `base` other than public; none where any of its addresses is public."""
    if base.literal_reach is not None:
        return {base.literal_reach} - {Reach.OTHER}
    found = set(map(reach_of, await resolve(base.host, base.port)))
    return set() if Reach.PUBLIC in found else found - {Reach.OTHER}


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, in the resolver's order, each once; raises OSError where it has none."""
    found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
