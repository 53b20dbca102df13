"""Checks of the service: DNS, certificates, clock, both APIs, credentials.

It must not know FUSE. Each wait is bounded. Only the last check sends a credential, and sends it to its own API.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from cffs.cli.checks import Check, fail, ok, skip, warn
from cffs.core.settings import Settings
from cffs.core.settings_options import BY_NAME

_NAME_SECONDS = 5.0
_CONNECT_SECONDS = 8.0
#: Basic credentials do not depend on the clock; certificates and Retry-After dates do.
_CLOCK_SECONDS = 120.0
_EXPIRES_DAYS = 14
#: What a mount lacks without each login.
_LOST = {
    "v1": "WAVs and dynamic/",
    "v2": "listings, MP3s, media/ and me/",
    "account": "me/api/credentials/",
}


def service_checks(settings: Settings) -> Iterator[Check]:
    """Every check; one that cannot work without an earlier one is skipped."""
    if settings.offline:
        yield skip("service", "not asked: --offline")
        return
    reachable = True
    for host, port, scheme in dict.fromkeys(map(_place, _used_urls(settings))):
        named = _name(host, port)
        yield named
        if named.mend:
            reachable = False
            continue
        for check in _connection(host, port, scheme, settings):
            reachable = reachable and not (check.mend and check.name != "clock")
            yield check
    if not settings.credentials.has_v1 and not settings.credentials.has_v2:
        yield fail("credentials", "none are set", "cffs login")
    elif reachable:
        yield from _accounts(settings)
    else:
        yield skip("credentials", "not tried: the service is not reached")


def _used_urls(settings: Settings) -> list[str]:
    """The base URLs of the APIs that have credentials, of both where neither has: an unused one need not be
    reachable."""
    credentials = settings.credentials
    v1 = [settings.v1_url] if credentials.has_v1 else []
    v2 = [settings.v2_url] if credentials.has_v2 or credentials.has_account else []
    return v1 + v2 or [settings.v1_url, settings.v2_url]


def _place(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), parts.scheme


def _name(host: str, port: int) -> Check:
    found: list[str] = []
    trouble: list[str] = []

    def ask() -> None:
        try:
            found.extend(sorted({str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}))
        except OSError as error:
            trouble.append(error.strerror or "no answer")

    # a resolver cannot be hurried; the thread is left behind and ends with this process
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_NAME_SECONDS)
    name, mend = f"DNS {host}", "check the network and /etc/resolv.conf"
    if trouble:
        return fail(name, trouble[0], mend)
    if not found:
        return fail(name, f"no answer within {_NAME_SECONDS:.0f} s", mend)
    return ok(name, ", ".join(found[:4]))


def _connection(host: str, port: int, scheme: str, settings: Settings) -> Iterator[Check]:
    """Check TLS and the clock, by one HEAD of `/` without any credential."""
    name = f"TLS {host}" if scheme == "https" else f"HTTP {host}"
    if scheme == "https":
        try:
            context = ssl.create_default_context(cafile=str(settings.ca_bundle) if settings.ca_bundle else None)
        except (OSError, ssl.SSLError):
            yield fail("--ca-bundle", "no usable certificates in it", "give a PEM file")
            return
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=_CONNECT_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
    started = time.monotonic()
    try:
        connection.connect()
        seconds = time.monotonic() - started
        yield _tls(name, connection, seconds)
        connection.request("HEAD", "/", headers={"Host": host, "Connection": "close"})
        yield _clock(connection.getresponse().headers.get("Date"))
    except ssl.SSLCertVerificationError as error:
        expired = "expired" in error.verify_message or "not yet valid" in error.verify_message
        mend = "set the clock" if expired else "apt install ca-certificates, or give --ca-bundle"
        yield fail(name, f"its certificate is not accepted: {error.verify_message}", mend)
    except http.client.HTTPException:
        yield skip("clock", "the host does not answer HEAD / with HTTP")
    except OSError as error:
        what = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or type(error).__name__
        yield fail(name, what, "check the network, a firewall, and the URL")
    finally:
        connection.close()


def _tls(name: str, connection: http.client.HTTPConnection, seconds: float) -> Check:
    if not isinstance(connection.sock, ssl.SSLSocket):
        return ok(name, f"plain http, connected in {seconds * 1000:.0f} ms")
    certificate = connection.sock.getpeercert() or {}
    shown = f"{connection.sock.version()}, connected in {seconds * 1000:.0f} ms"
    expires = certificate.get("notAfter")
    if isinstance(expires, str):
        days = (ssl.cert_time_to_seconds(expires) - datetime.now(UTC).timestamp()) / 86_400
        shown += f", certificate good for {days:.0f} days"
        if days < _EXPIRES_DAYS:
            return warn(name, shown, "the service's owner must renew it")
    return ok(name, shown)


def _clock(date: str | None) -> Check:
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return skip("clock", "the service sends no time to compare with")
    off = datetime.now(UTC).timestamp() - theirs
    if abs(off) > _CLOCK_SECONDS:
        return fail(
            "clock", f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the service", "timedatectl set-ntp true"
        )
    return ok("clock", f"within {_CLOCK_SECONDS:.0f} s of the service's")


def _accounts(settings: Settings) -> Iterator[Check]:
    from cffs.callfire.credential_check import Login, Outcome
    from cffs.cli.check_credentials import ask_all

    verdicts = {verdict.login: verdict for verdict in ask_all(settings)}
    tried = [verdict for login, verdict in verdicts.items() if login is not Login.ACCOUNT]
    # the account's own login opens one folder, and a mount works without it
    make_hopeless = fail if all(verdict.is_hopeless for verdict in tried) else warn
    for login, lost in _LOST.items():
        name, verdict = f"{login} credentials", verdicts.get(Login(login))
        if verdict is None:
            yield skip(name, f"not set: no {lost}")
        elif verdict.outcome is Outcome.ACCEPTED:
            yield ok(name, f"accepted, answered in {verdict.seconds * 1000:.0f} ms")
        elif verdict.is_hopeless:
            refused = verdict.outcome is Outcome.REFUSED
            option = BY_NAME[f"{verdict.login.api}_url"]
            mend = "cffs login" if refused else f"give the API's base to {option.flag}, by default {option.default}"
            make = make_hopeless if verdict in tried else warn
            yield make(name, f"{'refused' if refused else verdict.why}: no {lost}", mend)
        elif verdict.outcome is Outcome.DOUBTFUL:
            yield warn(name, verdict.why, f"by default {BY_NAME['v1_url'].default}; a mount comes all the same")
        elif verdict.outcome is Outcome.UNDECIDED:
            yield ok(name, f"the service answers and does not say whether it accepts them ({verdict.why})")
        else:
            yield warn(name, f"{verdict.outcome}: {verdict.why}", "try again; a mount comes and recovers by itself")
