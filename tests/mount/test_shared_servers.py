"""What real mounts share through servers of several kinds, and what shows of that."""

import os
from contextlib import ExitStack
from functools import partial

from tests.mount.mounting import Mounted, account_variables, mounted, run, until
from tests.mount.test_shared_mounts import true_bytes
from tests.shared.redis_server import redis_server, tls_server

#: As it is spelt in the URL, and as it is.
SPELT, PASSWORD = "sHaReD%40%2FsEcReT", "sHaReD@/sEcReT"


def read_first(mount: Mounted, standin) -> None:
    """The first recording that the mount lists is read right."""
    name = min(name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3"))
    assert (mount.path / "recordings" / name).read_bytes() == true_bytes(standin, name)


def has_put(mount: Mounted) -> bool:
    """Whether others find blocks that the mount fetched."""
    return mount.status()["shared"]["blocks"]["put"] > 0


def test_by_tls(said, home, standin):
    """A mount shares by rediss:// where --ca-bundle has the server's authority. Where it has another one, a line says
    what to do, and the mount works without. The password shows nowhere, however it is spelt."""
    with tls_server(home, "--requirepass", PASSWORD) as server:
        url = server.tls_url.replace("//", f"//:{SPELT}@")
        variables = account_variables(standin)
        good = ("--shared", url, "--ca-bundle", str(home / "ca.pem"))
        with mounted(said, home, variables, *good) as mount:
            assert mount.status()["shared"]["state"] == "up"
            read_first(mount, standin)
            until(partial(has_put, mount))
            for words in (("status", "--json"), ("doctor",), ("config", "show")):
                run(said, home, *words, **variables, CFFS_SHARED=url)
        other = home / "other"
        other.mkdir()
        with mounted(said, other, variables, "--shared", url, "--ca-bundle", str(home / "other.pem")) as mount:
            (line,) = mount.status()["notes"]
            assert line == (
                f"shared server {server.tls_url}: its certificate is not trusted; give --ca-bundle the authority that "
                "signed it; until it is back this machine shares nothing"
            )
            assert sum("shared server gone" in line for line in mount.log().splitlines()) == 1
            read_first(mount, standin)
    for wrong in ("redis://:{}@host:99999", "http://:{}@host"):
        done = run(said, home, "mount", "--shared", wrong.format(SPELT), home / "mnt", **variables)
        assert done.returncode == 2
    assert not any(secret in text for text in said.outputs for secret in (SPELT, PASSWORD))


def test_one_account_with_two_passwords(said, home, standin):
    """Mounts of one login share, whichever of its passwords they have: one copy, one rate. One of another login of the
    account shares nothing with them, and one whose password is refused does not trouble them."""
    me = standin.account.me
    login = me.create_credential("one")
    logins = (login, me.create_credential("two", username=login["username"]), me.create_credential("another"))
    with redis_server(home) as server, ExitStack() as stack:
        mounts, read = [], []
        for number, login in enumerate(logins):
            folder = home / str(number)
            folder.mkdir()
            variables = account_variables(standin, v1=False, owner=False) | {
                "CFFS_LOGIN": login["username"],
                "CFFS_PASSWORD": login["password"],
            }
            options = ("--shared", server.url, "--rate", "100/s", "--timeout", "10")
            mount = stack.enter_context(mounted(said, folder, variables, *options))
            names = sorted(name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3"))[-3:]
            read.append({name: (mount.path / "recordings" / name).read_bytes() for name in names})
            if number != 1:  # which has it all from the first
                until(partial(has_put, mount))
            mounts.append(mount)
        assert read[0] == read[1] == read[2] == {name: true_bytes(standin, name) for name in read[0]}
        refused = run(
            said, home, "mount", home / "mnt", **variables | {"CFFS_SHARED": server.url, "CFFS_PASSWORD": "x"}
        )
        assert refused.returncode == 1
        shared = [mount.status()["shared"] for mount in mounts]
        assert shared[1]["blocks"]["hit"] + shared[1]["blocks"]["alone"] > 0
        assert shared[2]["blocks"]["hit"] == shared[2]["answers"]["hit"] == 0
        until(lambda: [mount.status()["shared"]["machines"] for mount in mounts] == [2, 2, 1])
        assert {one["state"] for one in shared} == {"up"}
        assert [mount.status()["origin"]["held_until"] for mount in mounts] == [0.0] * 3
