"""An API that refuses its credentials during the mount, and recovers."""

import errno
import os
from pathlib import Path

import pytest

from cffs.standin.thread import StandinThread
from tests.faults.bench import CANARIES, Bench, make_account, recordings
from tests.faults.conftest import MakeBench, with_shim
from tests.mount.mounting import Said

#: A refused login is tried at most once a minute (cffs/docs/semantics.md#errors).
ASKED_EVERY_SECONDS = 60


def asked(bench: Bench, prefix: str) -> list[str]:
    """The requests to that API."""
    return [record.path for record in bench.standin.requests if record.path.startswith(prefix)]


@pytest.mark.parametrize(
    ("refusing", "prefix", "form", "other"), [("v1", "/cloud/", "wav", "mp3"), ("v2", "/v2/", "mp3", "wav")]
)
def test_refused_while_it_was_mounted(
    home: Path, make_bench: MakeBench, said: Said, refusing: str, prefix: str, form: str, other: str
):
    """Its cached bytes are read, its listed names are listed, the rest of it is EACCES without a request for a minute,
    the other API works; and the first access after the minute finds it well again, without a remount."""
    variables, shim = with_shim(home)
    with StandinThread(make_account(calls=20), credentials=CANARIES) as standin:
        # no neighbours: files read in the folder's order would have the next ones prefetched
        cached, later, warm, cold = recordings(standin.account)[1:20:6]
        with make_bench(home, standin=standin) as bench:
            for number in (cached, warm):  # the nodes of its names are known from here on
                bench.succeeds(bench.target(number, form))
            known = {name: os.listdir(bench.mount.path / name) for name in ("campaigns", "recordings", "calls")}
        rule = standin.faults.add("status", path=f"^{prefix}", code=401)
        with make_bench(home, standin=standin, **variables) as bench:
            (line,) = said.outputs[-2].splitlines()
            assert line.startswith(f"cffs: {refusing} refuses")
            assert standin.faults.fired(rule) == 1
            assert bench.origin()[refusing] == bench.origin()["state"] == "auth-failed"
            standin.log.clear()
            bench.succeeds(bench.target(cached, form))
            assert {name: os.listdir(bench.mount.path / name) for name in known} == known
            for _ in range(5):
                bench.fails(bench.target(cold, form), errno.EACCES)
            assert asked(bench, prefix) == []
            bench.succeeds(bench.target(cold, other))
            (shim / "later").write_text(str(ASKED_EVERY_SECONDS))
            for _ in range(5):
                bench.fails(bench.target(later, form), errno.EACCES)
            assert len(asked(bench, prefix)) == 1, "asked again, once"
            standin.faults.clear()
            bench.fails(bench.target(later, form), errno.EACCES)
            (shim / "later").write_text(str(2 * ASKED_EVERY_SECONDS))
            bench.succeeds(bench.target(later, form))
            bench.succeeds(bench.target(cold, form))
            assert bench.origin()[refusing] == bench.origin()["state"] == "online"
            bench.alive()


def test_v1_alone_answers_while_v2_refuses(home: Path, make_bench: MakeBench):
    """With v2 refused from the first mount on, v1 opens and lists a call's WAVs as it does alone; what only v2 knows is
    EACCES, never empty."""
    with StandinThread(make_account(calls=5), credentials=CANARIES) as standin:
        call_id = standin.account.call_ids()[0]
        campaign_id = standin.account.call_row(call_id)["campaignId"]
        (number,) = standin.account.recording_ids(call_id)
        standin.faults.add("status", path="^/v2/", code=401)
        with make_bench(home, standin=standin, lists=False) as bench:
            folder = bench.mount.path / f"campaigns/{campaign_id}/{call_id}"
            assert f"{number}.wav" in os.listdir(folder)
            assert (folder / f"{number}.wav").read_bytes() == bench.truth(bench.target(number, "wav"))
            assert os.listdir(bench.mount.path / "calls") == ["undated"], "what v1 told of is known, and no more"
            assert os.listdir(bench.mount.path / "calls/undated") == [str(call_id)]
            for path in ("media", "by-date", "by-number"):
                with pytest.raises(OSError) as raised:
                    os.listdir(bench.mount.path / path)
                assert raised.value.errno == errno.EACCES, path
            standin.faults.clear()
