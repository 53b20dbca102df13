"""One nginx that serves the files plainly and behind the API's paths.

It owns sockets, certificates, configuration and the access log. It must not know who reads. There is a way in without
latency, with latency (a lua sleep in each request), with TLS, and by a slow link: a listening socket with
SO_MAX_PACING_RATE, which its connections inherit. nginx's own `limit_rate` counts per request and lets a first second's
worth through at once.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from bench_cases.files import SETS

NGINX = "/usr/sbin/nginx"
MODULES = tuple(Path(f"/usr/lib/nginx/modules/{name}.so") for name in ("ndk_http_module", "ngx_http_lua_module"))
LATENCY_SECONDS = 0.05
SLOW_BYTES_PER_SECOND = 4_000_000
START_SECONDS = 10
SO_MAX_PACING_RATE = 47  # Linux; Python 3.11 has no name for it

CONFIG = """
{modules}
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 512; }}
http {{
    sendfile on; tcp_nopush on; keepalive_requests 1000000; types {{ }} default_type audio/mpeg;
    log_format bench '$status $body_bytes_sent $request_method $request_uri'; access_log {folder}/access.log bench;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
    map "$arg_intervalBegin" $calls_page {{ "" "calls-$arg_campaignId-$arg_offset.json"; default "nothing.json"; }}
    {servers}
}}
"""
SERVER = """
    server {{
        listen 127.0.0.1:{port} {tls};
        {latency}
        location /plain/ {{ autoindex on; alias {folder}/plain/; }}
        location /nested/ {{ autoindex on; alias {folder}/nested/; }}
        location /juicefs/ {{ alias {folder}/juicefs/; }}
        {accounts}
    }}
"""
ACCOUNT = """
        location ~ ^/{name}/v2/calls/recordings/([0-9]+)\\.mp3$ {{ alias {folder}/plain/{name}/$1.mp3; }}
        location ~ ^/{name}/v2/calls/([0-9]+)/recordings/([^/]+\\.mp3)$ {{
            alias {folder}/nested/{name}/{campaign}/$1/$2;
        }}
        location ~ ^/{name}/v2/calls/recordings/([0-9]+)$ {{
            default_type application/json; alias {folder}/api/{name}/recordings/$1.json;
        }}
        location ~ ^/{name}/v2/calls/([0-9]+)$ {{
            default_type application/json; alias {folder}/api/{name}/calls/$1.json;
        }}
        location ~ ^/{name}/v2/calls/([0-9]+)/recordings$ {{
            default_type application/json; alias {folder}/api/{name}/call-recordings/$1.json;
        }}
        location = /{name}/v2/calls {{
            default_type application/json; root {folder}/api/{name}; rewrite ^ /$calls_page break;
        }}
        location = /{name}/v2/calls/broadcasts {{
            default_type application/json; alias {folder}/api/{name}/broadcasts.json;
        }}
        location ~ ^/{name}/v2/calls/broadcasts/[0-9]+$ {{
            default_type application/json; alias {folder}/api/{name}/campaign.json;
        }}
        location = /{name}/v2/me/account {{ default_type application/json; alias {folder}/api/{name}/account.json; }}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """One way in."""

    scheme: str = "http"
    has_latency: bool = False
    is_slow: bool = False


NEAR, FAR, SLOW = Place(), Place(has_latency=True), Place(has_latency=True, is_slow=True)
NEAR_TLS, FAR_TLS = Place("https"), Place("https", has_latency=True)
PLACES = (NEAR, FAR, SLOW, NEAR_TLS, FAR_TLS)


class Site:
    """The running server."""

    def __init__(self, folder: Path, ports: dict[Place, int]) -> None:
        self.folder = folder
        self.ca_bundle = folder / "ca.pem"
        self._ports = ports

    def plain_url(self, place: Place, set_name: str, *, is_nested: bool = False) -> str:
        """The folder of a set, as rclone, httpdirfs and curl see it."""
        return f"{self._base(place)}/{'nested' if is_nested else 'plain'}/{set_name}/"

    def v2_url(self, place: Place, set_name: str) -> str:
        """The account of a set, as cffs sees it."""
        return f"{self._base(place)}/{set_name}/v2"

    def juicefs_url(self, place: Place) -> str:
        """Where the blocks of the JuiceFS volume lie."""
        return f"{self._base(place)}/juicefs/"

    def names(self, set_name: str) -> list[str]:
        """The files of a set, in order."""
        return sorted(path.name for path in (self.folder / "plain" / set_name).iterdir())

    def nested_names(self, set_name: str) -> list[str]:
        """The files of a set as they lie under campaigns and calls, in order."""
        folder = self.folder / "nested" / set_name
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.mp3"))

    def campaign(self, set_name: str) -> str:
        """The only campaign of a set's account."""
        return _campaign(self.folder, set_name)

    def log_position(self) -> int:
        """The present end of the access log."""
        return (self.folder / "access.log").stat().st_size

    def answered_since(self, position: int) -> tuple[int, int]:
        """How many requests were answered since then, and with how many bytes of bodies."""
        with (self.folder / "access.log").open("rb") as log:
            log.seek(position)
            lines = log.read().splitlines()
        return len(lines), sum(int(line.split()[1]) for line in lines)

    def _base(self, place: Place) -> str:
        return f"{place.scheme}://127.0.0.1:{self._ports[place]}"


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """Serve what `files.make` put into `folder`, until the block ends."""
    listeners = {place: _listener(place) for place in PLACES}
    ports = {place: listener.getsockname()[1] for place, listener in listeners.items()}
    _certify(folder)
    accounts = "".join(ACCOUNT.format(name=name, folder=folder, campaign=_campaign(folder, name)) for name in SETS)
    servers = "".join(
        SERVER.format(
            port=port,
            tls="ssl" if place.scheme == "https" else "",
            latency=f"access_by_lua_block {{ ngx.sleep({LATENCY_SECONDS}) }}" if place.has_latency else "",
            folder=folder,
            accounts=accounts,
        )
        for place, port in ports.items()
    )
    # with a master process: without one, nginx 1.22 crashes on sockets that it takes over
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    modules = "\n".join(f"load_module {path};" for path in MODULES)
    config.write_text(CONFIG.format(modules=modules, folder=folder, user=user, servers=servers))
    fds = [listener.fileno() for listener in listeners.values()]
    server = subprocess.Popen(
        [NGINX, "-c", str(config), "-e", str(folder / "error.log")],
        env={**os.environ, "NGINX": "".join(f"{fd};" for fd in fds)},  # how nginx takes over sockets
        pass_fds=fds,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # we handle Ctrl-C ourselves, in order
    )
    try:
        for listener in listeners.values():
            listener.close()
        _await_answer(server, folder, ports[NEAR])
        yield Site(folder, ports)
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _campaign(folder: Path, set_name: str) -> str:
    return str(json.loads((folder / "api" / set_name / "campaign.json").read_text())["id"])


def _listener(place: Place) -> socket.socket:
    listener = socket.socket()
    if place.is_slow:
        listener.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, SLOW_BYTES_PER_SECOND)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    listener.setblocking(False)
    return listener


def _certify(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(folder / "chain.pem"), append=True)


def _await_answer(server: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.settimeout(1)
            probe.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            try:
                if probe.recv(16):
                    return
            except OSError:
                continue
    raise SystemExit(f"scripts/bench: nginx does not start: {(folder / 'error.log').read_text().strip()}")
