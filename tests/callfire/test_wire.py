"""Both wires: TLS, the environment, and private addresses."""

import datetime
import ipaddress
import ssl
from functools import partial

import httpcore
import httpx
import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cffs.callfire.transport import Transport
from cffs.callfire.url_policy import Origin
from cffs.callfire.v2 import V2Client
from cffs.callfire.wire.dialing import permitted_addresses
from cffs.callfire.wire.httpx_transport import GuardedBackend
from cffs.callfire.wire.sockets import Dialler
from cffs.core import errors
from cffs.core.byte_range import ByteRange
from cffs.core.settings_options import parse_rate
from cffs.core.source import Api, Source
from cffs.standin.server import Standin
from tests.callfire.test_departure_log import most_in_a_span
from tests.canary import CANARIES

YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


def server_context(authority: trustme.CA, name: str, **changes: datetime.datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **changes).configure_cert(context)
    return context


def self_signed(folder) -> ssl.SSLContext:
    """A self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(YESTERDAY)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "self-signed.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_tls_of_a_redirect_is_verified_too(settings_for, tmp_path, drain):
    """A redirect from plain loopback to https with an untrusted certificate is not followed."""
    authority, stranger = trustme.CA(), trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    for context, good in (
        (server_context(authority, "127.0.0.1"), True),
        (server_context(stranger, "127.0.0.1"), False),
        (server_context(authority, "127.0.0.1", not_after=YESTERDAY), False),
        (server_context(authority, "other.example.com"), False),
        (self_signed(tmp_path), False),
    ):
        async with Standin(credentials=CANARIES) as standin, Standin(credentials=CANARIES, tls=context) as other:
            path = next(path for path in standin.account.paths() if path.startswith("/v2/calls/recordings/"))
            source = Source(Api.V2, tuple(path.removeprefix("/v2/").split("/")))
            other.faults.add("body", data=b"ID3 signed", status=200, content_type="audio/mpeg")
            standin.faults.add("redirect", location=other.base_url + "/signed{path}")
            async with Transport(settings_for(standin, ca_bundle=bundle)) as transport:
                if good:
                    assert await drain(transport, source, ByteRange(0, 500)) == (0, b"ID3 signed")
                else:
                    with pytest.raises(errors.OriginUnreachable, match="certificate is not accepted"):
                        await drain(transport, source, ByteRange(0, 500))
            assert bool(other.requests) is good


async def test_tls_is_verified_and_a_bundle_is_believed(settings_for, tmp_path, drain):
    """Certificates that are self-signed, of an unknown authority, expired, or for another host are refused; the
    bundle's is accepted."""
    authority, stranger = trustme.CA(), trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    cases = [
        (server_context(authority, "127.0.0.1"), bundle, True),
        (server_context(authority, "127.0.0.1"), None, False),
        (server_context(stranger, "127.0.0.1"), bundle, False),
        (self_signed(tmp_path), None, False),
        (self_signed(tmp_path), bundle, False),
        (server_context(authority, "other.example.com"), bundle, False),
        (server_context(authority, "127.0.0.1", not_after=YESTERDAY), bundle, False),
    ]
    for context, ca_bundle, good in cases:
        async with Standin(credentials=CANARIES, tls=context) as standin:
            async with Transport(settings_for(standin, ca_bundle=ca_bundle)) as transport:
                if good:
                    assert await V2Client(transport).get_account()
                else:
                    with pytest.raises(errors.OriginUnreachable, match="certificate is not accepted"):
                        await V2Client(transport).get_account()
            assert bool(standin.requests) is good


async def test_a_certificate_that_expires_later_is_refused_from_then_on(settings_for, tmp_path):
    """A connection made before goes on; the next one is refused, and so is every one after it."""
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = server_context(authority, "127.0.0.1")
    async with (
        Standin(credentials=CANARIES, tls=context) as standin,
        Transport(settings_for(standin, ca_bundle=bundle)) as transport,
    ):
        v2 = V2Client(transport)
        assert await v2.get_account()
        authority.issue_cert("127.0.0.1", not_after=YESTERDAY).configure_cert(context)
        standin.faults.add("close", times=1)
        assert await v2.get_account()
        for _ in range(2):
            with pytest.raises(errors.OriginUnreachable):
                await v2.get_account()
        assert len(standin.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("trunc", errors.TruncatedAnswer),
        ("trunc_nolen", errors.TruncatedAnswer),
        ("trunc_chunk", errors.TruncatedAnswer),
        ("reset", errors.TruncatedAnswer),
        ("reset_before", errors.TruncatedAnswer),
        ("stall", errors.DeadlineExceeded),
        ("garbage", errors.MalformedAnswer),
    ],
)
async def test_faults_over_tls_have_the_same_errors(settings_for, tmp_path, drain, fault, error):
    """Faults have the same errors as without TLS; afterwards the bytes are right."""
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    async with Standin(credentials=CANARIES, tls=server_context(authority, "127.0.0.1")) as standin:
        path = next(path for path in standin.account.paths() if path.startswith("/v2/calls/recordings/"))
        source, content = (
            Source(Api.V2, tuple(path.removeprefix("/v2/").split("/"))),
            standin.account.object_for(path).read(),
        )
        timeout_seconds = 0.8 if error is errors.DeadlineExceeded else 4.0  # four tries end before it, however busy
        async with Transport(settings_for(standin, ca_bundle=bundle, timeout_seconds=timeout_seconds)) as transport:
            rule = standin.faults.add(fault)
            with pytest.raises(error):
                await drain(transport, source, ByteRange(1000, 9000))
            standin.faults.remove(rule)
            for asked in (ByteRange(1000, 9000), ByteRange(0, len(content)), ByteRange(7, 8)):
                assert await drain(transport, source, asked, step=5000) == (
                    asked.start,
                    content[asked.start : asked.stop],
                )


def test_a_bad_bundle_is_a_usage_error(settings, tmp_path):
    """It is reported in one line, at construction."""
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    for path in (bad, tmp_path / "missing.pem"):
        with pytest.raises(errors.UsageError):
            Transport(settings(ca_bundle=path))


def test_plain_http_elsewhere_is_a_usage_error(settings):
    """It is refused before anything is sent, unless the user insists."""
    with pytest.raises(errors.UsageError):
        Transport(settings(v2_url="http://api.example.com/v2"))
    Transport(settings(v2_url="http://api.example.com/v2", insecure_http=True))


async def test_a_rate_is_kept_on_real_sockets(settings_for):
    """Of 20/s never more in any second of the service's own log, connections that are made on the way included."""
    async with Standin(credentials=CANARIES) as standin:
        settings = settings_for(standin, rate=parse_rate("20/s"), timeout_seconds=30)
        async with Transport(settings) as transport, trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(V2Client(transport).get_account)
        times = [record.started_at for record in standin.requests]
        assert len(times) == 50
        assert most_in_a_span(times, 1.0) <= 20


async def test_proxies_of_the_environment_are_not_used(monkeypatch, settings_for):
    """HTTP_PROXY and the like change nothing, because a proxy would see every key."""
    async with Standin(credentials=CANARIES) as proxy, Standin(credentials=CANARIES) as standin:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.base_url)
        async with Transport(settings_for(standin)) as transport:
            assert await V2Client(transport).get_account()
        assert not proxy.requests


async def test_a_second_origin_is_told_no_secret(settings_for, drain):
    """After real redirects to another loopback origin its log holds no key, no Basic and no Referer, and the bytes are
    right."""
    async with Standin(credentials=CANARIES) as standin, Standin(credentials=CANARIES) as other:
        for path in standin.account.paths()[:4]:
            base, api = ("/v2/", Api.V2) if path.startswith("/v2/") else ("/cloud/1/", Api.V1)
            source = Source(api, tuple(path.removeprefix(base).split("/")))
            other.faults.add("body", data=b"ID3 the other's bytes", status=200, content_type="audio/mpeg", times=1)
            standin.faults.clear()
            standin.faults.add("redirect", location=other.base_url + "/signed{path}?{query}")
            async with Transport(settings_for(standin)) as transport:
                assert await drain(transport, source, ByteRange(0, 500)) == (0, b"ID3 the other's bytes")
        assert len(other.requests) == 4
        known = standin.credentials
        for record in other.requests:
            told = repr((record.path, dict(record.query), dict(record.headers)))
            assert not any(secret in told for secret in (known.apikey, known.password, known.login, "asic"))
            assert {"referer", "cookie", "authorization"}.isdisjoint(record.headers)
            assert record.headers["range"] == "bytes=0-499"


@pytest.mark.parametrize(
    ("host", "addresses", "dialled"),
    [
        ("cdn.example.com", ["93.184.216.34"], True),
        ("rebound.example.com", ["127.0.0.1"], False),
        ("mixed.example.com", ["93.184.216.34", "10.0.0.1"], False),
        ("six.example.com", ["::ffff:192.168.1.1"], False),
        ("2130706433", ["127.0.0.1"], False),
        ("none.example.com", [], False),
    ],
)
async def test_names_that_resolve_to_private_addresses_are_not_dialled(host, addresses, dialled):
    """The address checked is the one dialled, and one private address among several is enough to refuse."""
    dials = []

    async def dial(address, port, *rest):
        await trio.lowlevel.checkpoint()
        dials.append(address)
        return httpcore.AsyncMockStream([])

    async def refusing(address, port):
        await dial(address, port)
        raise OSError("refused")

    async def resolve(name, port):
        await trio.lowlevel.checkpoint()
        return {"api.example.com": ["93.184.216.34"], "intern.example.com": ["10.1.1.1"]}.get(name, addresses)

    own = Dialler(
        ssl.create_default_context(),
        scratch=memoryview(bytearray(1)),
        permitted=partial(permitted_addresses, base=Origin("https", "api.example.com", 443), resolve=resolve),
        dial=refusing,
    )
    with pytest.raises(OSError, match="refused" if dialled else "private|without"):
        await own.connect("https", host, 443)
    assert dials == (addresses if dialled else [])
    dials.clear()
    backend = GuardedBackend(Origin("https", "api.example.com", 443), dial=dial, resolve=resolve)
    if dialled:
        await backend.connect_tcp(host, 443, timeout=1)
    else:
        with pytest.raises(httpcore.ConnectError):
            await backend.connect_tcp(host, 443, timeout=1)
    assert dials == (addresses[:1] if dialled else [])


BASES = {
    "loopback": Origin("http", "127.0.0.1", 8080),
    "localhost": Origin("http", "localhost", 8080),
    "private": Origin("https", "10.0.0.1", 443),
    "named": Origin("https", "intern.example.com", 443),
    "public": Origin("https", "api.example.com", 443),
}


@pytest.mark.parametrize(
    ("address", "may_lead_there"),
    [
        ("127.0.0.1", {"loopback", "localhost"}),
        ("::1", {"loopback", "localhost"}),
        ("10.9.9.9", {"private", "named"}),
        ("::ffff:192.168.1.1", {"private", "named"}),
        ("169.254.169.254", set()),
        ("fe80::1%eth0", set()),
        ("0.0.0.0", set()),  # noqa: S104 - refused, never bound
        ("93.184.216.34", set(BASES)),
    ],
)
async def test_a_name_leads_only_where_the_origin_lies(address, may_lead_there):
    """A redirect's name must resolve to public addresses, or to the reach of the origin.

    So a service on this machine sends nothing into the network around it, nor one there to this machine.
    """

    async def resolve(name, port):
        await trio.lowlevel.checkpoint()
        return {"api.example.com": ["93.184.216.34"], "intern.example.com": ["10.1.1.1"]}.get(name, [address])

    for name, base in BASES.items():
        if name in may_lead_there:
            assert await permitted_addresses("cdn.example.com", 443, base=base, resolve=resolve) == [address]
        else:
            with pytest.raises(OSError, match="private"):
                await permitted_addresses("cdn.example.com", 443, base=base, resolve=resolve)


async def test_a_name_that_changes_between_check_and_connection():
    """Against DNS rebinding, the name is resolved once for each connection, and the socket connects to the address
    checked."""
    base = Origin("http", "127.0.0.1", 8080)
    answers: list[list[str]] = []

    async def resolve(name, port):
        await trio.lowlevel.checkpoint()
        return answers.pop(0)

    async with Standin(credentials=CANARIES) as standin:
        port = int(standin.base_url.rpartition(":")[2])
        permitted = partial(permitted_addresses, base=base, resolve=resolve)
        own = Dialler(ssl.create_default_context(), scratch=memoryview(bytearray(1)), permitted=permitted)
        stock = GuardedBackend(base, dial=httpcore.TrioBackend().connect_tcp, resolve=resolve)

        async def by_own():
            stream = await own.connect("http", "rebound.example.com", port)
            peer = stream._socket.getpeername()
            stream.close()
            return peer

        async def by_stock():
            stream = await stock.connect_tcp("rebound.example.com", port, timeout=2)
            peer = stream.get_extra_info("server_addr")
            await stream.aclose()
            return peer

        for connect, refusal in ((by_own, OSError), (by_stock, httpcore.ConnectError)):
            answers[:] = [["127.0.0.1"], ["10.9.9.9"]]
            assert await connect() == ("127.0.0.1", port)
            with pytest.raises(refusal):
                await connect()
            assert not answers


async def test_the_bare_wire_really_dials_through_the_guard(settings):
    """A name of this machine is refused on the wire for redirects, and no connection is made."""
    async with Standin(credentials=CANARIES) as standin:
        port = standin.base_url.rpartition(":")[2]
        async with Transport(settings()) as transport:
            wire = transport._session.wires[Api.V2].bare
            with pytest.raises(httpx.ConnectError):
                await wire.handle_async_request(httpx.Request("GET", f"http://localhost:{port}/v2/me/account"))
        assert not standin.requests


async def test_bodies_left_early_over_tls_close_quietly(settings_for, tmp_path, drain):
    """After twenty bodies given up in the middle, over TLS, there is no warning and no hang, and the next one is
    whole."""
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    async with Standin(credentials=CANARIES, tls=server_context(authority, "127.0.0.1")) as standin:
        path = next(path for path in standin.account.paths() if path.startswith("/v2/calls/recordings/"))
        source = Source(Api.V2, tuple(path.removeprefix("/v2/").split("/")))
        async with Transport(settings_for(standin, ca_bundle=bundle, timeout_seconds=5.0)) as transport:
            for _ in range(20):
                async with transport.open_range(source, None) as answer:
                    assert await answer.receive_into(memoryview(bytearray(100))) == 100
            assert await drain(transport, source, None) == (0, standin.account.object_for(path).read())
