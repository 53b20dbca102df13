"""Real Redis servers on loopback for the length of a block.

There is one, or a cluster of three. Each ends with the block, and with the process that started it, however that ends.
CFFS_TEST_SERVER names another program than Debian's redis-server, such as valkey-server. It must not know what is kept
there.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

PROGRAM = os.environ.get("CFFS_TEST_SERVER", "redis-server")
_SECONDS = 20
_PR_SET_PDEATHSIG = 1
#: A node of a cluster uses the port this far above its own as well.
_BUS = 10_000
_libc = ctypes.CDLL(None, use_errno=True)


def free_port() -> int:
    """A port that is free now, and of which the port of the cluster's bus is free too."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                bus.bind(("127.0.0.1", port + _BUS))
            except (OSError, OverflowError):
                continue
            return port


class RedisServer:
    """One process of the server. It keeps nothing on disk, so it is empty after a restart."""

    def __init__(self, folder: Path, *, socket_path: Path | None = None, options: tuple[str, ...] = ()) -> None:
        self.port = 0 if socket_path else free_port()
        self.path = socket_path
        #: Its address by TLS, where it has one.
        self.tls_url = ""
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, as `--shared` takes it."""
        return f"unix://{self.path}" if self.path else f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return once it answers."""
        place = ["--port", str(self.port), "--bind", "127.0.0.1"]
        if self.path:
            place += ["--unixsocket", str(self.path)]
        command = [PROGRAM, *place, "--dir", str(self._folder), "--save", "", "--appendonly", "no"]
        command += ["--logfile", f"redis-{self.port}.log", *self._options]
        self._process = subprocess.Popen(
            command, preexec_fn=_end_with_parent, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                self._connected().close()
                return
            except OSError:
                assert self._process.poll() is None, f"{PROGRAM} ended; see its log"
                assert time.monotonic() < deadline, f"{PROGRAM} does not answer"
                time.sleep(0.01)

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()  # which ends a stopped process too
            self._process.wait(_SECONDS)
            self._process = None

    def restart(self) -> None:
        """End it, and start it empty."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the process: connections stay open, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def ask(self, *words: str | bytes | int, user: str = "default", password: str = "") -> object:
        """The reply to a command: bytes, a number, a list or None; an error of the server's is raised."""
        with self._connected() as connection, connection.makefile("rb") as replies:
            if password:
                connection.sendall(_encoded("AUTH", user, password))
                _reply(replies)
            connection.sendall(_encoded(*words))
            return _reply(replies)

    def _connected(self) -> socket.socket:
        if self.path is None:
            return socket.create_connection(("127.0.0.1", self.port), _SECONDS)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_SECONDS)
        try:
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            raise
        return connection


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _encoded(*words: str | bytes | int) -> bytes:
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def _reply(stream) -> object:
    line = stream.readline()[:-2]
    kind, rest = line[:1], line[1:]
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return [_reply(stream) for _ in range(int(rest))]
    return rest


@contextmanager
def redis_server(
    folder: Path, *, socket_path: Path | None = None, options: tuple[str, ...] = ()
) -> Iterator[RedisServer]:
    """A running server, its log in `folder`; `options` are those of its command line."""
    server = RedisServer(folder, socket_path=socket_path, options=options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def tls_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A running server that speaks TLS too, at `tls_url`. `folder` gets `ca.pem`, the authority that signed its
    certificate for localhost, and `other.pem`, one that did not."""
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    port = free_port()
    tls = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(folder / "ca.pem"))
    files = ("--tls-cert-file", str(folder / "cert.pem"), "--tls-key-file", str(folder / "key.pem"))
    with redis_server(folder, options=(*tls, *files, *options)) as running:
        running.tls_url = f"rediss://localhost:{port}"
        yield running


@contextmanager
def redis_cluster(folder: Path) -> Iterator[list[RedisServer]]:
    """Three running nodes of one cluster, each with a third of the slots, once all of them agree."""
    nodes = list[RedisServer]()
    try:
        for number in range(3):
            place = folder / f"node{number}"
            place.mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
            nodes.append(RedisServer(place, options=options))
            nodes[-1].start()
        first, last = 0, 0
        for number, node in enumerate(nodes):
            first, last = last, 16_384 * (number + 1) // 3
            node.ask("CLUSTER", "ADDSLOTS", *range(first, last))
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port)
        deadline = time.monotonic() + _SECONDS
        while not all(_agrees(node) for node in nodes):
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.02)
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def _agrees(node: RedisServer) -> bool:
    info = node.ask("CLUSTER", "INFO")
    assert isinstance(info, bytes)
    return b"cluster_state:ok" in info and b"cluster_known_nodes:3" in info and b"cluster_size:3" in info
