"""Both wires against a real server, nginx."""

import hashlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trustme

from cffs.callfire.transport import Transport
from cffs.core import errors
from cffs.core.byte_range import ByteRange
from cffs.core.source import Api, Source
from tests.canary import RIGHT_ORIGIN

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
pytestmark = pytest.mark.skipif(not Path(NGINX).exists(), reason="needs nginx: apt-get install nginx-light")
CONTENT = b"ID3" + b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(150_000))
CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log; sendfile on; default_type audio/mpeg; root {folder}/www;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
    log_format which '$connection'; access_log {folder}/connections.log which;
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
        sub_filter_types *; sub_filter never-there x;
        location /v2/plain/ {{ sub_filter_types none/none; alias {folder}/www/; }}
        location /v2/closing/ {{ sub_filter_types none/none; alias {folder}/www/; keepalive_timeout 0; }}
        location /v2/chunked/ {{ alias {folder}/www/; }}
        location /v2/unframed/ {{ alias {folder}/www/; chunked_transfer_encoding off; }}
        location /v2/slow/ {{ sub_filter_types none/none; alias {folder}/www/; limit_rate 4m; }}
        location /v2/moved/ {{ rewrite ^/v2/moved/(.*)$ /v2/plain/$1 redirect; }}
        location /v2/absent/ {{ return 404; }}
        location /v2/refused/ {{ return 403; }}
        location /v2/broken/ {{ return 500; }}
        location /v2/nothing/ {{ return 204; }}
    }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """The address of the server, and the requests that it noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"http": free_port(), "https": free_port()}
        self.bundle = folder / "ca.pem"

    def connections(self) -> list[str]:
        """The connection of each request so far."""
        return (self.folder / "connections.log").read_text().split()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """A server of its own while this module's tests run."""
    folder = tmp_path_factory.mktemp("nginx") / RIGHT_ORIGIN  # its logs name who asked
    folder.mkdir()
    server = Nginx(folder)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(server.bundle))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(folder / "chain.pem"), append=True)
    (folder / "www").mkdir()
    (folder / "www" / "5.mp3").write_bytes(CONTENT)
    (folder / "www" / "empty.mp3").write_bytes(b"")
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, plain=server.ports["http"], tls=server.ports["https"]))
    process = subprocess.Popen([NGINX, "-c", str(config), "-e", str(folder / "error.log")], stderr=subprocess.DEVNULL)
    try:
        for port in server.ports.values():
            for attempt in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                except OSError:
                    assert attempt < 199, (folder / "error.log").read_text()
                    assert process.poll() is None, (folder / "error.log").read_text()
                    subprocess.run(["sleep", "0.02"], check=True)
        yield server
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(params=["http", "https"])
def served(request, nginx, settings):
    """Makes a transport to nginx, plain or over TLS."""

    def make(**changes):
        base = f"{request.param}://127.0.0.1:{nginx.ports[request.param]}"
        changes = {"timeout_seconds": 10.0, "ca_bundle": nginx.bundle, **changes}
        return Transport(settings(v1_url=f"{base}/v1", v2_url=f"{base}/v2", **changes))

    return make


def source(where: str, name: str = "5.mp3") -> Source:
    return Source(Api.V2, (where, name))


@pytest.mark.parametrize("where", ["plain", "closing", "chunked", "unframed", "moved"])
async def test_whole_bodies_are_whole(served, drain, where):
    """However it is framed, a body gives every byte and no more, through buffers of any size."""
    async with served() as transport:
        for step in (1 << 20, 70_001):
            assert await drain(transport, source(where), None, step=step) == (0, CONTENT)


@pytest.mark.parametrize(
    "asked",
    [ByteRange(0, 1), ByteRange(0, 70_000), ByteRange(1, 2), ByteRange(65_535, 3_000_000)],
    ids=str,
)
@pytest.mark.parametrize("where", ["plain", "closing", "chunked"])
async def test_ranges_are_those_asked(served, drain, where, asked):
    """The answer has exactly the bytes asked for or, from a server that ignores ranges, says that it has all of
    them."""
    async with served() as transport:
        start, received = await drain(transport, source(where), asked)
        assert (start, received) == (
            (0, CONTENT) if where == "chunked" else (asked.start, CONTENT[asked.start : asked.stop])
        )


async def test_many_at_once_get_their_own(served, drain):
    """Sixty-four ranges in eight tasks each get their own bytes."""
    async with served(connections=8) as transport, trio.open_nursery() as nursery:

        async def read(first):
            for n in range(8):
                start = (first * 8 + n) * 61_007
                asked = ByteRange(start, start + 50_000)
                assert await drain(transport, source("plain"), asked) == (start, CONTENT[start : start + 50_000])

        for first in range(8):
            nursery.start_soon(read, first)


async def test_one_connection_carries_one_request_after_another(served, drain, nginx, wire):
    """Ranges, refusals, an empty file and a 204 in a row need one connection; the stock wire gives it up at the 416."""
    async with served() as transport:
        before = len(nginx.connections())
        for n in range(5):
            await drain(transport, source("plain"), ByteRange(n, n + 300_000))
        for where, error in (("absent", errors.RemoteObjectMissing), ("refused", errors.AccessRefused)):
            with pytest.raises(error):
                await drain(transport, source(where))
        with pytest.raises(errors.RangeNotSatisfiable):
            await drain(transport, source("plain"), ByteRange(10**9, 10**9 + 1))
        assert await drain(transport, source("plain", "empty.mp3")) == (0, b"")
        assert (await transport.get(Api.V2, ("nothing", "x"))).body == b""
        with trio.fail_after(5):
            while len(nginx.connections()) < before + 10:
                await trio.sleep(0.01)
        assert len(set(nginx.connections()[before:])) == (1 if wire == "own" else 2)


async def test_a_body_left_early_costs_nothing_but_its_connection(served, drain):
    """After a body left in the head, in the middle, or one byte before its end, the next request gets its bytes."""
    async with served() as transport:
        for nbytes in (1, 70_000, 3_000_000, len(CONTENT) - 1):
            async with transport.open_range(source("plain"), None) as answer:
                left = nbytes
                while left:
                    left -= await answer.receive_into(memoryview(bytearray(left)))
            assert await drain(transport, source("plain"), ByteRange(9, 999)) == (9, CONTENT[9:999])


async def test_failures_are_ours(served, drain):
    """A 5xx is a ServerFailure after at most four attempts."""
    async with served() as transport:
        with pytest.raises(errors.ServerFailure):
            await drain(transport, source("broken"))
        assert transport.stats.requests[Api.V2] == 4


@pytest.mark.parametrize("wire", ["own"])
async def test_warmed_connections_are_used(served, drain, nginx):
    """Four connections made ahead of need, TLS included, carry the next four requests without another dial."""
    async with served() as transport:
        await transport.warm(Api.V2, connections=4)
        await transport.warm(Api.V2, connections=4)
        wire = transport._session.wires[Api.V2].origin
        assert len(wire._idle) == 4
        wire._dialler = None
        async with trio.open_nursery() as nursery:
            for n in range(4):
                nursery.start_soon(drain, transport, source("slow"), ByteRange(n, n + 100_000))
        assert len(wire._idle) == 4
