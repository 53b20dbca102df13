"""`cffs doctor`: a line for each check with its remedy, exit statuses, no secret."""

import json
import os
import re
import shutil
import sys
import time

import pytest

from cffs.cli.checks import Check, State
from cffs.cli.checks_machine import _fusermount_of_user, machine_checks
from cffs.cli.checks_service import _clock, service_checks
from cffs.cli.checks_shared import shared_checks
from cffs.core.settings import Credentials, Settings
from cffs.daemon.kernel import device_of, handler_budget, request_limit_seconds
from cffs.daemon.probe import Found, length_in_bytes, meaning
from cffs.daemon.probe_targets import source_of
from cffs.standin.answers import Credentials as StandinCredentials
from cffs.standin.thread import StandinThread
from tests.cli.helpers import cffs, one_line
from tests.shared.redis_server import redis_server

TOLD = StandinCredentials(
    apikey="CANARYKEY", login="CANARYlogin", password="CANARYPASS", account_login="o", account_password="pp"
)
DEAD = {"CFFS_V1_URL": "http://127.0.0.1:9/cloud/1", "CFFS_V2_URL": "http://127.0.0.1:9/v2"}


def variables(standin: StandinThread) -> dict[str, str]:
    return {
        "CFFS_V1_URL": standin.v1_url,
        "CFFS_V2_URL": standin.v2_url,
        "CFFS_APIKEY": TOLD.apikey,
        "CFFS_LOGIN": TOLD.login,
        "CFFS_PASSWORD": TOLD.password,
    }


def settings(folder, **changes) -> Settings:
    fields = {
        "credentials": Credentials(apikey="k"),
        "cache_dir": folder / "cache",
        "state_dir": folder,
        "runtime_dir": folder,
        "uid": 0,
        "gid": 0,
        "v1_url": "http://127.0.0.1:9/cloud/1",
        "v2_url": "http://127.0.0.1:9/v2",
    }
    return Settings(**{**fields, **changes})


def states(checks) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_all_is_well(tmp_path):
    """With a service that accepts the credentials every line is ok or names its remedy; status 0, no secret."""
    with StandinThread(credentials=TOLD) as standin:
        done = cffs(tmp_path, "doctor", **variables(standin))
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "a mount works here"
    assert all(re.match(r"(ok  |warn|skip)  \S", line) for line in lines[:-1])
    assert all("; mend: " in line for line in lines if line.startswith("warn"))
    assert "CANARY" not in done.stdout
    assert "\x1b" not in done.stdout


def test_nothing_configured(tmp_path):
    """Without credentials and without a network every local check is made, and the first step is named, status 1."""
    done = cffs(tmp_path, "doctor", **DEAD)
    assert done.returncode == 1
    assert re.search(r"^FAIL  credentials +none are set; mend: cffs login$", done.stdout, re.MULTILINE)
    assert re.search(r"^(ok  |FAIL)  /dev/fuse", done.stdout, re.MULTILINE)


def test_refused_credentials(tmp_path):
    """One API that refuses is a warning, both are a failure; the remedy is named."""
    with StandinThread(credentials=TOLD) as standin:
        one = variables(standin) | {"CFFS_APIKEY": "wrongkey"}
        both = one | {"CFFS_PASSWORD": "wrongpass"}
        told = json.loads(cffs(tmp_path, "doctor", "--json", **one).stdout)
        assert [line["state"] for line in told if line["check"] == "v1 credentials"] == ["warn"]
        done = cffs(tmp_path, "doctor", "--json", **both)
        assert done.returncode == 1
        told = {line["check"]: line for line in json.loads(done.stdout)}
        assert (told["v2 credentials"]["state"], told["v2 credentials"]["mend"]) == ("FAIL", "cffs login")


def test_wrong_addresses(tmp_path):
    """A base that is not the service's is reported as such: a warning beside a good API, a failure where none is
    good."""
    with StandinThread(credentials=TOLD) as standin:
        one = variables(standin) | {"CFFS_V2_URL": standin.base_url}
        told = {line["check"]: line for line in json.loads(cffs(tmp_path, "doctor", "--json", **one).stdout)}
        assert told["v1 credentials"]["state"] == "ok"
        assert told["v2 credentials"]["state"] == "warn"
        assert "does not look like the service; is /v2 missing?" in told["v2 credentials"]["found"]
        assert "--v2-url" in told["v2 credentials"]["mend"]
        done = cffs(tmp_path, "doctor", **one | {"CFFS_V1_URL": standin.base_url})
        assert done.returncode == 1
        assert re.search(r"^FAIL  v1 credentials .* is /cloud/1 missing\?", done.stdout, re.MULTILINE)
        assert done.stdout.splitlines()[-1] == "to be mended before a mount works: v1 credentials, v2 credentials"


def test_an_api_that_is_not_used(tmp_path):
    """Where one API has no credentials its host need not be reached for a mount to work."""
    with StandinThread(credentials=TOLD) as standin:
        variables_of_v2 = {name: value for name, value in variables(standin).items() if name != "CFFS_APIKEY"}
        dead = "http://no-such-host.invalid:9/cloud/1"
        told = variables_of_v2 | {"CFFS_INSECURE_HTTP": "yes", "CFFS_V1_URL": dead}
        done = cffs(tmp_path, "doctor", **told)
    assert done.returncode == 0, done.stdout
    assert "no-such-host" not in done.stdout


def test_a_broken_configuration_does_not_stop_the_rest(tmp_path):
    """A config that is not TOML is a line; the machine is checked all the same."""
    config = tmp_path / "config/cffs/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("nonsense = [")
    done = cffs(tmp_path, "doctor")
    assert done.returncode == 1
    assert "FAIL  configuration" in done.stdout
    assert "/dev/fuse" in done.stdout


def test_every_wait_is_bounded(tmp_path, monkeypatch):
    """A service that accepts connections and says nothing costs seconds."""
    monkeypatch.setattr("cffs.cli.checks_service._CONNECT_SECONDS", 1.0)
    with StandinThread(credentials=TOLD) as standin:
        standin.faults.add("stall_head")
        started = time.monotonic()
        list(service_checks(settings(tmp_path, v1_url=standin.v1_url, v2_url=standin.v2_url)))
        assert time.monotonic() - started < 10


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/proc/self/status"), reason="no /proc")
def test_bad_cache_folders(tmp_path):
    """A cache folder that is open to others and in use, or is a link or a file, is a failure with its remedy."""
    (tmp_path / "open/x").mkdir(parents=True)
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "link").symlink_to("open")
    (tmp_path / "file").write_text("")
    for name in ("open", "link", "file"):
        found = states(machine_checks(settings(tmp_path), tmp_path / name))["cache folder"]
        assert found.state is State.FAIL, name
        assert found.mend
    assert states(machine_checks(None, tmp_path / "none/yet"))["cache folder"].state is State.OK


def test_a_system_without_mtab(tmp_path):
    """Where /etc/mtab is missing, as on a minimal system that never booted, an ordinary user reads that fusermount3
    will not unmount."""
    tool = shutil.which("fusermount3")
    assert tool is not None
    found = _fusermount_of_user(tool, tmp_path / "mtab")
    assert (found.state, found.mend) == (State.WARN, f"as root: ln -s ../proc/self/mounts {tmp_path}/mtab")
    (tmp_path / "mtab").symlink_to("/proc/self/mounts")
    assert _fusermount_of_user(tool, tmp_path / "mtab").state is State.OK


def test_clock():
    """A clock that is minutes off is a failure; one that cannot be compared is skipped."""
    assert _clock("Sun, 06 Nov 1994 08:49:37 GMT").state is State.FAIL
    assert _clock("nonsense").state is State.SKIP
    assert _clock(None).state is State.SKIP


@pytest.mark.parametrize(
    ("default", "most", "limit"), [(0, 0, None), (20, 0, 20), (0, 40, 40), (60, 40, 40), (10, 40, 10)]
)
def test_kernel_limits(tmp_path, default, most, limit):
    """A handler never has more than half of what the kernel gives a request."""
    (tmp_path / "default_request_timeout").write_text(f"{default}\n")
    (tmp_path / "max_request_timeout").write_text(f"{most}\n")
    assert request_limit_seconds(tmp_path) == limit
    assert handler_budget(15.0, limit) == (15.0 if limit is None else min(15.0, limit / 2))


def test_device_number():
    """The device of a mount is that of the topmost one in the mount table, also where names have blanks."""
    text = (
        "36 25 0:32 / /mnt/a\\040b rw - fuse.cffs callfire:default ro\n"
        "37 25 0:33 / /mnt/a\\040b rw - fuse.cffs callfire:default ro\n"
        "38 25 254:1 / /disk rw - ext4 /dev/x rw\n"
    )
    from pathlib import Path

    assert device_of(Path("/mnt/a b"), mountinfo=text) == 33
    assert device_of(Path("/disk"), mountinfo=text) is None
    assert device_of(Path("/none"), mountinfo=text) is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://h/1/files/recording/7?apikey=CANARY", "v1:files/recording/7"),
        ("https://h/2/media/3/file", "v2:media/3/file"),
        (
            "http://www.callfire.com/cloud/1/files/recording/dynamic/Ab-_90xyz/2014/7/5/a%20b.wav?apikey=CANARY",
            "v1:files/recording/dynamic/Ab-_90xyz/2014/7/5/a%20b.wav",
        ),
    ],
)
def test_urls(tmp_path, url, path):
    """A URL below either base, or of a recording at any host, is an object of ours, its query dropped."""
    assert source_of(url, settings(tmp_path, v1_url="https://h/1", v2_url="https://h/2")).key == path


def test_foreign_url(tmp_path):
    """A URL of another host is one line, and no host is asked."""
    with StandinThread(credentials=TOLD) as standin:
        line = one_line(cffs(tmp_path, "doctor", "--probe", "https://example.com/x?k=CANARY", **variables(standin)), 1)
        assert "nothing was asked" in line
        assert "CANARY" not in line
        assert standin.requests == []
    assert "not in a cffs mount" in one_line(cffs(tmp_path, "doctor", "--probe", tmp_path, **variables(standin)), 1)


def test_probe_by_url_is_kept(tmp_path):
    """Without a mount, --probe of a base URL looks at one object of each kind and keeps what it found."""
    with StandinThread(credentials=TOLD) as standin:
        done = cffs(tmp_path, "doctor", "--json", "--probe", standin.v2_url, **variables(standin))
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["kept"] is True
        assert told["length_in_bytes"] in ("mp3", "wav")
        assert {one["kind"] for one in told["objects"]} == {"mp3", "mp3_by_name", "wav", "media"}
        assert all(one["range"] == "honoured" for one in told["objects"])
        assert sum(request.body_nbytes for request in standin.requests) < 4 * 2**20
        standin.faults.add("full200")
        done = cffs(tmp_path, "doctor", "--json", "--probe", standin.v2_url, **variables(standin))
        assert {one["range"] for one in json.loads(done.stdout)["objects"]} == {"ignored"}


def test_what_length_in_bytes_measures():
    """A recording's two forms show what the hint measures; a hint that fits neither is reported, no hint is not."""
    forms = [Found(kind="mp3", api="v2", total=10, hint=40), Found(kind="wav", api="v1", total=40, hint=40)]
    assert length_in_bytes(forms) == "wav"
    forms[1].total = 41
    assert length_in_bytes(forms) == "neither (mp3 and wav measured)"
    assert length_in_bytes([Found(kind="mp3", api="v2", total=10)]) is None


def test_meanings_are_lines():
    """Every odd behaviour has its sentence."""
    odd = Found(
        kind="mp3", api="v2", status=200, range="ignored", validator="none", head="refused (405)", redirect_host="cdn"
    )
    assert len(list(meaning(odd))) == 5
    assert list(meaning(Found(kind="mp3", api="v2", status=404))) == ["answers 404: this file cannot be opened"]


def test_the_shared_server(tmp_path, monkeypatch):
    """Its version and what it does when it is full; what is missing or gone names its remedy, and no password."""
    assert list(shared_checks(settings(tmp_path))) == []
    with redis_server(tmp_path, options=("--requirepass", "sEcReT")) as server:
        mine = settings(tmp_path, shared=server.url.replace("//", "//:sEcReT@"))
        (check,) = shared_checks(mine)
        assert check.state is State.WARN
        assert check.found.startswith(f"{server.url}, redis ")
        assert "maxmemory" in check.mend
        for policy, state in (("noeviction", State.WARN), ("allkeys-lru", State.OK)):
            for name, value in (("maxmemory", "64mb"), ("maxmemory-policy", policy)):
                server.ask("CONFIG", "SET", name, value, password="sEcReT")
            (check,) = shared_checks(mine)
            assert (check.state, check.found.endswith(f"64 MiB, {policy}")) == (state, True)
        (check,) = shared_checks(settings(tmp_path, shared=server.url))
        assert check.state is State.WARN
        assert check.found == f"{server.url}: it refuses the user or the password; a mount works and shares nothing"
    (check,) = shared_checks(mine)
    assert (check.state, "sEcReT" in check.line()) == (State.WARN, False)
    monkeypatch.setitem(sys.modules, "cffs.shared.server", None)
    (check,) = shared_checks(mine)
    assert (check.state, check.mend) == (State.FAIL, "pip install 'cffs[shared]'")
