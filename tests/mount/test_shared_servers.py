"""What real mounts share through servers of several kinds, and what shows of that."""

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from functools import partial

import pytest

from tests.callfire.test_departure_log import most_in_a_span
from tests.faults.conftest import with_shim
from tests.mount.mounting import Mounted, account_variables, mounted, run, until
from tests.mount.test_shared_mounts import LISTINGS, MOST_COPIES, alone_nbytes, asked_once, at_once, true_bytes
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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("ahead_seconds", [3600, -3600])
def test_clocks_an_hour_apart(said, home, standin, ahead_seconds):
    """A machine whose clock is an hour ahead, or behind, shares as any other: one copy, each listing once for
    --dir-ttl, one rate, and a pause that the service asks one machine for holds the other."""
    shim, folder = with_shim(home)
    (folder / "clock").write_text(str(ahead_seconds))
    options = ("--rate", "20/s", "--dir-ttl", "3", "--timeout", "20")
    with redis_server(home) as server, ExitStack() as stack:
        mounts = []
        for name, more in (("right", {}), ("wrong", shim)):
            (home / name).mkdir()
            variables = account_variables(standin) | {"CFFS_SHARED": server.url} | more
            mounts.append(stack.enter_context(mounted(said, home / name, variables, *options)))
        times = [datetime.fromisoformat("T".join(mount.log().split()[:2])) for mount in mounts]
        assert abs((times[1] - times[0]).total_seconds() - ahead_seconds) < 60
        first, second = at_once(mounts)
        assert first == second == {name: true_bytes(standin, name) for name in first}
        bodies = sum(record.body_nbytes for record in standin.requests if record.kind not in LISTINGS)
        assert bodies - alone_nbytes(mounts) <= MOST_COPIES * sum(map(len, first.values()))
        asked_once(standin, mounts)

        standin.log.clear()
        began_at = time.monotonic()
        made = standin.account.recording_ids(
            standin.account.add_call(recordings=1, seconds=7, created_ms=time.time_ns() // 10**6)
        )
        seen = [False, False]
        while time.monotonic() - began_at < 12:
            listed = [os.listdir(mount.path / "recordings") for mount in mounts]
            seen = [any(name.endswith(f"{made[0]}.mp3") for name in names) for names in listed]
            time.sleep(0.1)
        assert seen == [True, True]
        asked = Counter(
            (record.kind, record.path, *sorted(record.query.items()))
            for record in standin.requests
            if record.kind in LISTINGS
        )
        alone = sum(mount.status()["shared"]["answers"]["alone"] for mount in mounts)
        assert 2 <= max(asked.values()) <= (time.monotonic() - began_at) / 3 + 1 + alone

        standin.log.clear()
        wavs = [f"{name.removesuffix('.mp3')}.wav" for name in sorted(first)[:2]]
        standin.faults.add("status", code=429, retry_after=2, times=1)
        with ThreadPoolExecutor(2) as pool:
            held = pool.submit((mounts[0].path / "recordings" / wavs[0]).read_bytes)
            until(lambda: any(record.status == 429 for record in standin.requests))
            assert (mounts[1].path / "recordings" / wavs[1]).read_bytes()[:4] == held.result()[:4] == b"RIFF"
        refused, *later = sorted(standin.requests, key=lambda record: record.started_at)
        assert refused.status == 429
        assert later[0].started_at - refused.started_at >= 1.9
    assert most_in_a_span([record.started_at for record in standin.requests], 1.0) <= 20
