"""Debian's nginx on a loopback port, during a block.

It must not know what is served.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 10


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, port: int, locations: str) -> Iterator[None]:
    """A running server, its files and logs in `folder`; `locations` are those of its one server block."""
    config = folder / "nginx.conf"
    config.write_text(f"""
        daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
        {"user root;" if os.geteuid() == 0 else ""}
        events {{ }}
        http {{
            access_log {folder}/access.log;
            client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
            uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
            sendfile on; types {{ }}
            server {{ listen 127.0.0.1:{port}; {locations} }}
        }}""")
    server = subprocess.Popen(["/usr/sbin/nginx", "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)
        yield
    finally:
        server.terminate()
        server.wait(_SECONDS)
