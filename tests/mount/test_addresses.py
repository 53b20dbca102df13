"""Mounts with a wrong address, without a network, or with --offline."""

import errno
import os

import pytest

from tests.mount.mounting import account_variables, mounted, run

NOWHERE = "http://127.0.0.1:9"


def mount_line(said, home, variables, *options: str) -> str:
    """The one line of a mount that fails; nothing is mounted."""
    (home / "mnt").mkdir(exist_ok=True)
    done = run(said, home, "mount", *options, home / "mnt", **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert not os.path.ismount(home / "mnt")
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(("v1", "v2"), [(True, False), (False, True), (True, True)])
def test_no_address_is_the_services(said, home, standin, v1, v2):
    """Where no API that has credentials looks like the service, nothing is mounted and the line says what to look at; a
    later mount with the right address is not held up by what the wrong one answered."""
    right = account_variables(standin, v1=v1, v2=v2)
    wrong = right | {"CFFS_V1_URL": standin.base_url, "CFFS_V2_URL": standin.base_url}
    line = mount_line(said, home, wrong)
    for api, has, path in (("v1", v1, "/cloud/1"), ("v2", v2, "/v2")):
        assert (f"{api} at {standin.base_url} does not look like the service; is {path} missing?" in line) == has
    with mounted(said, home, right) as mount:
        assert os.listdir(mount.path)


def test_one_address_is_wrong(said, home, standin):
    """The API whose address is right works; the other one's part of the tree is refused, not empty, and both the mount
    and `cffs status` say why."""
    call_id = standin.account.call_ids()[0]
    campaign_id = standin.account.call_row(call_id)["campaignId"]
    (number,) = standin.account.recording_ids(call_id)
    variables = account_variables(standin) | {"CFFS_V2_URL": standin.base_url}
    reason = f"v2 at {standin.base_url} does not look like the service; is /v2 missing?"
    with mounted(said, home, variables) as mount:
        assert reason in said.outputs[-2]
        for path in ("media", "calls"):
            with pytest.raises(OSError) as raised:
                os.listdir(mount.path / path)
            assert raised.value.errno == errno.EACCES, path
        found = mount.path / f"campaigns/{campaign_id}/{call_id}/{number}.wav"
        assert found.read_bytes() == standin.account.object_for(f"/cloud/1/files/recording/{number}").read()
        assert reason in run(said, home, "status", mount.path).stdout
        assert mount.status()["origin"]["v1"] == "online"
        assert mount.status()["origin"]["v2"] == "auth-failed"


def test_no_network(said, home, standin):
    """A mount without a network succeeds, says in one line which host it misses and what follows, and shows it."""
    variables = account_variables(standin) | {"CFFS_V1_URL": f"{NOWHERE}/cloud/1", "CFFS_V2_URL": f"{NOWHERE}/v2"}
    with mounted(said, home, variables) as mount:
        (line,) = said.outputs[-2].splitlines()
        assert line.startswith("cffs: 127.0.0.1:9 cannot be reached")
        assert mount.status()["origin"]["state"] == "offline"
        assert "(asked for)" not in run(said, home, "status", mount.path).stdout


def test_offline_was_asked_for(said, home, standin):
    """With --offline nothing is asked, nothing is printed, and the status says that it was asked for."""
    with mounted(said, home, account_variables(standin), "--offline") as mount:
        assert said.outputs[-2] == ""
        assert standin.requests == []
        assert run(said, home, "status", mount.path).stdout.splitlines()[0] == f"{mount.path}  offline (asked for)"
        assert mount.status()["origin"]["state"] == "offline"
