"""Sharing by --shared: what a mount says of it, and what it imports."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cffs.core.errors import UsageError
from cffs.core.settings import Credentials, Settings
from cffs.core.source import Api
from cffs.daemon.account_folder import account_identity
from cffs.daemon.assembly import open_origin
from cffs.daemon.sharing import MISSING_EXTRA, opened_sharing
from cffs.daemon.status import config_toml
from tests.shared.redis_server import RedisServer, redis_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an account that is never asked."""
    return Settings(
        credentials=Credentials(login="someone", password="something"),
        cache_dir=tmp_path,
        state_dir=tmp_path,
        runtime_dir=tmp_path,
        uid=0,
        gid=0,
        v1_url="http://127.0.0.1:1",
        v2_url="http://127.0.0.1:1/v2",
        rate="10/s",
    )


def test_without_the_option_nothing_of_it_is_imported() -> None:
    """Whatever a mount imports, coredis and cffs.shared are not among it. (httpx imports anyio.)"""
    code = (
        "import sys, cffs.daemon.main, cffs.daemon.mount, cffs.daemon.mount_parts, cffs.cli.main, cffs.cli.mount; "
        "print([name for name in sys.modules if name.startswith(('coredis', 'cffs.shared'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_without_the_option_there_is_nothing(settings: Settings) -> None:
    """No server, no counter; nor with --offline, which asks nothing of anybody."""
    async with opened_sharing(settings) as sharing:
        assert sharing is None
    async with opened_sharing(replace(settings, shared="redis://127.0.0.1:1", offline=True)) as sharing:
        assert sharing is None


async def test_without_the_extra_one_line_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the library is not installed, the mount does not start, and says why."""
    monkeypatch.setitem(sys.modules, "coredis", None)
    for name in [name for name in sys.modules if name.startswith("cffs.shared")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UsageError, match="pip install"):
        async with opened_sharing(replace(settings, shared="redis://127.0.0.1:1")):
            pass
    assert "\n" not in MISSING_EXTRA


async def test_a_server_that_is_there(settings: Settings, tmp_path: Path) -> None:
    """The status names it without its login; a pause of one mount reaches the other; the rate is common."""
    with redis_server(tmp_path, options=("--requirepass", "sEcReT")) as running:
        url = running.url.replace("redis://", "redis://:sEcReT@")
        mine = replace(settings, shared=url)
        async with opened_sharing(mine) as one, opened_sharing(mine) as other:
            assert one is not None
            assert other is not None
            async with open_origin(mine.origin(), one) as origin, open_origin(mine.origin(), other):
                assert one.notes() == []
                assert await one.counter.take(Api.V1) == 0.0
                other.counter.note_hold(Api.V2, 30.0)
                while not origin.transport.health()[Api.V2].hold_seconds:
                    await one.counter.take(Api.V1)
                report = one.report()["shared"]
                assert isinstance(report, dict)
                assert report["server"] == running.url
                assert report["state"] == "up"
                assert report["machines"] == 2
                assert report["rate"] == "together"
        assert "sEcReT" not in str(report) + config_toml(mine) + repr(mine)
        assert f'shared = "{running.url}"' in config_toml(mine)


async def test_a_server_that_is_gone(settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says that it cannot be had, and which share is left; nothing fails."""
    running = RedisServer(tmp_path)
    async with opened_sharing(replace(settings, shared=running.url)) as sharing:
        assert sharing is not None
        assert sharing.notes() == [
            (
                f"shared server {running.url}: no connection: Connection refused; "
                "until it is back this machine has the whole rate, and shares nothing"
            )
        ]
        assert await sharing.counter.take(Api.V1) == 0.0
        report = sharing.report()["shared"]
        assert isinstance(report, dict)
        assert (report["state"], report["rate"]) == ("gone", "own share")
    assert [record.levelname for record in caplog.records if "shared server gone" in record.getMessage()] == ["WARNING"]


def test_the_account_is_what_is_shared(settings: Settings) -> None:
    """Two passwords of one account share; two logins, and two services, do not."""
    other_password = replace(settings, credentials=Credentials(login="someone", password="other"))
    other_login = replace(settings, credentials=Credentials(login="other", password="something"))
    assert account_identity(settings) == account_identity(other_password)
    assert (
        len({account_identity(one) for one in (settings, other_login, replace(settings, v2_url="http://127.0.0.2"))})
        == 3
    )
