"""The mount's own files: their shape, whatever the mount has met."""

import errno
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import trio

from cffs.cache.disk import DiskCache
from cffs.core.settings import Credentials, Settings
from cffs.core.settings_options import OPTIONS
from cffs.core.source import Api
from cffs.daemon.status import Status, config_toml, metrics
from cffs.standin.server import Standin
from tests.fuse.kernel import refused
from tests.fuse.kernelless_mount import World, built

SECRETS = Credentials(
    apikey="CANARYKEY",
    login="CANARYLOGIN",
    password="CANARYPASS",
    account_login="CANARYBOSS",
    account_password="CANARY!",
)
#: The fields of `cffs/docs/semantics.md#own-files`; `last_errors` is what `cffs status` shows of them.
KEYS = {
    "": "version pid mountpoint uptime_seconds origin reads cache prefetch catalog open_files bugs last_errors",
    "origin": "state v1 v2 requests bytes_fetched retries errors held_until capabilities",
    "reads": "count bytes_delivered",
    "cache": "memory_bytes memory_limit_bytes disk_bytes disk_limit_bytes hits_memory hits_disk misses corrupt_blocks",
    "prefetch": "started used_bytes wasted_bytes",
    "catalog": "campaigns calls recordings media",
}
_METRIC = re.compile(
    r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\[\\"n])*"(,[a-zA-Z_]\w*="[^"]*")*\})? -?[0-9.e+-]+'
)


def settings(folder: Path, **changes: Any) -> Settings:
    fields: dict[str, Any] = {
        "credentials": SECRETS,
        "cache_dir": folder,
        "state_dir": folder,
        "runtime_dir": folder,
        "uid": 0,
        "gid": 0,
        "v1_url": "https://one.example/1",
        "v2_url": "https://two.example/2",
    }
    return Settings(**{**fields, **changes})


def status_of(world: World, told: Settings, **changes: Any) -> Status:
    return Status(
        settings=told,
        mountpoint=Path("/mnt/cälls \udcff"),
        mounted_at=trio.current_time() - 3,
        transport=world.transport,
        cache=world.cache,
        disk=DiskCache(Path("/nonexistent"), limit_nbytes=2**31, timer=trio.current_time, wall_seconds=lambda: 0.0),
        objects=world.objects,
        catalog=world.catalog,
        handles=world.handles,
        calls=world.calls,
        background=world.background,
        **changes,
    )


async def test_offline_is_said(tmp_path):
    """With --offline the state is offline, although no request has failed."""
    async with Standin() as standin:
        told = settings(tmp_path, v1_url=standin.v1_url, v2_url=standin.v2_url, offline=True)
        async with built(standin, told, tmp_path, 10.0) as world:
            origin = status_of(world, told).status()["origin"]
            assert (origin["state"], origin["v1"], origin["v2"]) == ("offline", "offline", "offline")


async def test_status_has_exactly_the_contracts_keys(tmp_path):
    """status.json is JSON with the documented keys, before anything happened and after reads and failures."""
    async with Standin() as standin:
        given = standin.credentials
        credentials = Credentials(apikey=given.apikey, login=given.login, password=given.password)
        told = settings(tmp_path, credentials=credentials, v1_url=standin.v1_url, v2_url=standin.v2_url)
        async with built(standin, told, tmp_path, 10.0) as world:
            files = status_of(world, told).files()
            for busy in (False, True):
                if busy:
                    await world.kernel.listing("campaigns")
                    names = await world.kernel.listing("recordings")
                    await world.kernel.read("recordings/" + next(name for name in names if name.endswith(".mp3")))
                    standin.faults.add("status", code=500)
                    with refused(errno.EIO):
                        await world.kernel.stat("me/account.json")
                document = json.loads(files["status.json"]())
                for part, names in KEYS.items():
                    assert set(document[part] if part else document) == set(names.split()), part
                assert document["origin"]["state"] in ("online", "degraded")
                assert set(document["origin"]["errors"]) == ({"ServerFailure"} if busy else set())
                assert document["uptime_seconds"] >= 3
                assert bool(document["last_errors"]) is busy
                assert all("500" in line for line in document["last_errors"])
                for line in files["metrics"]().decode().splitlines():
                    assert _METRIC.fullmatch(line), line
            assert document["catalog"]["recordings"] > 0
            assert document["reads"]["count"] > 0
            for body in files.values():
                for secret in (given.apikey, given.password):
                    assert secret.encode() not in body()


async def test_the_rate(tmp_path):
    """With --rate status.json has its limit and what waits for it, and each number is a metric."""
    async with Standin() as standin:
        given = standin.credentials
        credentials = Credentials(login=given.login, password=given.password)
        urls = {"v1_url": standin.v1_url, "v2_url": standin.v2_url}
        told = settings(tmp_path, credentials=credentials, rate="600/min", **urls)
        async with built(standin, told, tmp_path, 10.0) as world:
            await world.kernel.listing("campaigns")
            files = status_of(world, told).files()
            rate = json.loads(files["status.json"]())["rate"]
            assert rate["sent"] == len(standin.requests) > 0
            assert rate | {"sent": 0} == {
                "limit": "600/min",
                "requests": 600,
                "span_seconds": 60.0,
                "sent": 0,
                "waiting": 0,
                "waited_seconds": 0.0,
            }
            assert f"cffs_rate_sent {rate['sent']}" in files["metrics"]().decode().splitlines()


async def test_states(tmp_path):
    """An API without credentials is `not configured`, one that refused them at the start is `auth-failed`, and the
    state of the origin is the worse of the two."""
    async with Standin() as standin:
        both = settings(tmp_path, v1_url=standin.v1_url, v2_url=standin.v2_url)
        async with built(standin, both, tmp_path, 10.0) as world:
            alone = settings(tmp_path, credentials=Credentials(apikey="k"))
            origin = status_of(world, alone).status()["origin"]
            assert (origin["state"], origin["v1"], origin["v2"]) == ("online", "online", "not configured")
            world.transport.refuse(Api.V1)
            origin = status_of(world, both).status()["origin"]
            assert (origin["state"], origin["v1"], origin["v2"]) == ("auth-failed", "auth-failed", "online")


async def test_calls_in_flight(tmp_path):
    """inflight.json lists the calls that wait, with age and subject; a call for the mount's own files is not among
    them."""
    async with Standin() as standin:
        told = settings(tmp_path, v1_url=standin.v1_url, v2_url=standin.v2_url)
        async with built(standin, told, tmp_path, 10.0) as world:
            status, calls = status_of(world, told), world.calls
            subjects = {1: "MP3[7]", 2: "OWN_FILE['inflight.json']", 3: "OWN"}
            begun = [
                calls.begin(operation, number, subjects.__getitem__)
                for operation, number in (("read", 1), ("open", 2), ("lookup", 3))
            ]
            (waiting,) = json.loads(status.files()["inflight.json"]())
            assert waiting.pop("age_seconds") >= 0
            assert waiting == {"operation": "read", "subject": "MP3[7]", "waits_for": "nothing: it is being handled"}
            for call in begun:
                calls.end(call)
            assert json.loads(status.files()["inflight.json"]()) == []


def test_metrics_are_prometheus_text():
    """Every number becomes a line, with nested names joined; texts, lists and the pid do not; each error has its
    label."""
    told = {
        "version": "1",
        "pid": 7,
        "uptime_seconds": 1.5,
        "origin": {"state": "online", "requests": 3, "errors": {"ServerFailure": 2}, "capabilities": {"x": True}},
        "cache": {"hits_memory": 4},
        "last_errors": ["a"],
    }
    assert metrics(told).splitlines() == [
        "cffs_uptime_seconds 1.5",
        "cffs_origin_requests 3",
        'cffs_origin_errors{kind="ServerFailure"} 2',
        'cffs_origin_state{state="online"} 1',
        "cffs_cache_hits_memory 4",
    ]


@pytest.mark.parametrize(
    "name", ["plain", 'quo"te\\back', "new\nline\ttab", "del\x7f", "bell\x07", "emoji 📞", "ümlaut", "bytes\udcff"]
)
def test_config_toml_parses(tmp_path, name):
    """Whatever a path holds, UTF-8 or not, config.toml is TOML that gives it back, without a secret."""
    told = settings(tmp_path, cache_dir=tmp_path / name, formats=("mp3", "wav"), umask=0o027, log_file=tmp_path / "l")
    text = config_toml(told)
    document = tomllib.loads(text.encode().decode())
    assert document["cache_dir"] == str(tmp_path / name).replace("\udcff", "\ufffd")
    assert (document["formats"], document["umask"], document["timeout"]) == ("mp3,wav", "027", 30.0)
    assert document["writable"] is False
    assert set(document) <= {option.name for option in OPTIONS}
    assert "CANARY" not in text
