"""`doctor --probe` on a mount, for honest and for odd origins."""

import json
import os

import pytest

from tests.mount.mounting import account_variables, mounted, run


def first_mp3(mount) -> str:
    return next(name for name in sorted(os.listdir(mount.path / "recordings")) if name.endswith(".mp3"))


def test_probe_of_a_mount_is_kept_and_shown(said, home, standin):
    """One object of each kind is probed; status shows the findings, also after a remount; no key is in them."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        done = run(said, home, "doctor", "--probe", mount.path, **variables)
        assert done.returncode == 0, done.stderr
        assert "lengthInBytes is the size of: mp3" in done.stdout
        kept = mount.status()["origin"]["capabilities"]
        assert kept["v2"]["mp3"]["range"] == "honoured"
        assert kept["v2"]["length_in_bytes"] == "mp3"
        assert kept["v1"]["wav"]["validator"] == "strong ETag"
        assert "range honoured" in run(said, home, "status", mount.path).stdout
    with mounted(said, home, variables) as mount:
        assert mount.status()["origin"]["capabilities"] == kept


@pytest.mark.parametrize(
    ("fault", "options", "says"),
    [
        ("full200", {}, {"range": "ignored"}),
        ("no_etag", {}, {"validator": "Last-Modified"}),
        ("weak_etag", {}, {"validator": "weak ETag"}),
        ("no_head", {}, {"head": None}),
        ("redirect", {}, {"redirect_host": "127.0.0.1"}),
    ],
)
def test_odd_origins_are_told(said, home, standin, fault, options, says):
    """Each odd behaviour of an origin is found and described in words."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        name = first_mp3(mount)
        standin.faults.add(fault, path=name, **options)
        done = run(said, home, "doctor", "--json", "--probe", mount.path / "recordings" / name, **variables)
        told = next(one for one in json.loads(done.stdout)["objects"] if one["kind"] == "mp3")
        for key, value in says.items():
            if value is None:
                assert told[key].startswith("refused")
            else:
                assert told[key] == value
        assert told["meaning"] or fault == "no_etag"


def test_an_origin_that_hangs_does_not_hang_the_probe(said, home, standin):
    """A hanging object is reported as hanging; the mount answers status meanwhile."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        name = first_mp3(mount)
        standin.faults.add("status", path=name, code=500)
        done = run(said, home, "doctor", "--json", "--probe", mount.path / "recordings" / name, **variables)
        told = {one["kind"]: one for one in json.loads(done.stdout)["objects"]}
        assert told["mp3"]["status"] == 500
        assert "cannot be opened" in told["mp3"]["meaning"][0]
        assert told["wav"]["range"] == "honoured"
        assert mount.status()["bugs"] == 0


def test_what_cannot_be_probed(said, home, standin):
    """A rendered file and a missing name are one line each."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        for path, says in (("me/account.json", "rendered by cffs"), ("recordings/nothing", "")):
            done = run(said, home, "doctor", "--probe", mount.path / path, **variables)
            assert done.returncode == 1
            assert len(done.stderr.splitlines()) == 1
            assert says in done.stderr
