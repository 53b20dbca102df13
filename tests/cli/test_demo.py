"""The demo's parts: a stand-in as a child, and settings that touch nothing of the user's."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cffs.cli.demo import demo_settings, temporary_folder
from cffs.cli.standin import running_standin
from tests.cli.helpers import environment


def answers(url: str) -> bool:
    """True when something listens there."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310  # our own loopback
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
    return True


def test_standin_child_and_demo_settings():
    """The demo's settings reach a running stand-in with all credentials, and keep everything in one folder."""
    with running_standin(calls=3) as standin, temporary_folder() as folder:
        settings = demo_settings(standin, folder, foreground=True)
        assert answers(settings.v2_url)
        assert settings.credentials.has_v1
        assert settings.credentials.has_v2
        assert settings.credentials.has_account
        assert {settings.cache_dir.parent, settings.state_dir.parent, settings.runtime_dir.parent} == {folder}
    assert not folder.exists()
    assert not answers(standin.base_url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_standin_ends_with_its_parent(tmp_path, number):
    """However the demo ends, kill -9 included, its stand-in ends too."""
    program = (
        "from cffs.cli.standin import *\nwith running_standin(calls=1) as s: print(s.base_url, flush=True); input()"
    )
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(Path(tmp_path)), stdin=pipe, stdout=pipe, text=True) as parent:
        url = parent.stdout.readline().strip()
        assert answers(url)
        parent.send_signal(number)
    deadline = time.monotonic() + 10
    while answers(url):
        assert time.monotonic() < deadline
        time.sleep(0.05)
