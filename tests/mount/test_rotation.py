"""Credentials that are exchanged during a mount's life."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cffs.standin.thread import StandinThread
from tests import canary
from tests.mount.mounting import CANARIES, mounted, run


def configured(home: Path, standin: StandinThread) -> Path:
    """A config file that names the stand-in, and its password in a file of its own, which is returned."""
    secret = home / "password.secret"
    config = home / "config/cffs/config.toml"
    config.parent.mkdir(parents=True, mode=0o700)
    lines = (f'v1_url = "{standin.v1_url}"', f'v2_url = "{standin.v2_url}"', f'login = "{CANARIES.login}"')
    config.write_text("\n".join((*lines, f'password_file = "{secret}"', "")))
    config.chmod(0o600)
    exchange(secret, CANARIES.password)
    return secret


def exchange(path: Path, password: str) -> None:
    path.write_text(password)
    path.chmod(0o600)


def test_a_new_password_needs_no_remount(said, home, standin):
    """The service takes another password, and the file has it: the next read works after one more request, without a
    signal or a remount. A password that is refused again is not read again at every request."""
    secret = configured(home, standin)
    port = int(standin.base_url.rpartition(":")[2])
    with mounted(said, home, {}) as mount:
        # backwards: read forwards, the third would be prefetched before its turn
        third, second, first = sorted((mount.path / "recordings").glob("*.mp3"))[:3]
        assert first.read_bytes()
        account = standin.account
        standin.close()
        with StandinThread(account, port=port, credentials=replace(CANARIES, password="CANARYROTATED1")) as rotated:
            exchange(secret, "CANARYROTATED1")
            assert second.read_bytes() == account.object_for(f"/v2/calls/recordings/{second.name}").read()
            asked = [record.status for record in rotated.requests if second.name in record.path]
            assert asked[0] == 401
            assert set(asked[1:]) == {206}
            assert mount.status()["origin"]["v2"] == "online"
            assert mount.log().count("configuration read again") == 1
        with StandinThread(account, port=port, credentials=replace(CANARIES, password="CANARYROTATED2")):
            for _ in range(5):
                with pytest.raises(OSError) as raised:
                    third.read_bytes()
                assert raised.value.errno == errno.EACCES
            assert mount.log().count("configuration read again") <= 2
            assert second.read_bytes()


def test_logout_leaves_nothing(said, home, standin):
    """After `login` and `logout` no file of the home holds a credential: neither the config file nor a rest of it."""
    urls = ("--v1-url", standin.v1_url, "--v2-url", standin.v2_url)
    given = "".join(f"{name} = '{getattr(CANARIES, name)}'\n" for name in ("apikey", "login", "password"))
    told = home / "given.secret"
    told.write_text(given)
    with told.open() as stdin:
        assert run(said, home, "login", *urls, stdin=stdin).returncode == 0
    config = home / "config/cffs/config.toml"
    assert canary.shows(config.read_bytes())
    assert config.stat().st_mode & 0o777 == 0o600
    assert run(said, home, "logout").returncode == 0
    told.unlink()
    for parent, _folders, files in os.walk(home):
        for name in files:
            assert canary.shows(Path(parent, name).read_bytes()) is None, name
