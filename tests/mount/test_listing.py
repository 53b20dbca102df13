"""The cost of listing on a real mount, as requests counted at the service."""

import os
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, WATCHDOG_SECONDS, account_variables, contention, mounted

#: A noisy machine gets five times of what is aimed at.
NOISE = 5


def walk(folder: Path) -> int:
    """How many names `find` sees."""
    done = subprocess.run(
        ["find", str(folder)], capture_output=True, text=True, timeout=2 * WATCHDOG_SECONDS, check=True
    )
    return len(done.stdout.splitlines())


def ls_l(*folders: Path) -> float:
    """Seconds that `ls -l` takes."""
    started = time.monotonic()
    subprocess.run(["ls", "-lU", *map(str, folders)], stdout=subprocess.DEVNULL, timeout=WATCHDOG_SECONDS, check=True)
    return time.monotonic() - started


@pytest.mark.timeout(300)
def test_ten_thousand_calls(said, home):
    """Listing 10,000 calls with one recording each costs at most 15 requests in all; again, and after a remount, and
    with the network gone, it costs none."""
    with StandinThread(Account(seed=3, calls=10_000, campaigns=10), credentials=CANARIES) as standin:
        variables = account_variables(standin)
        with mounted(said, home, variables) as mount:
            started = time.monotonic()
            names = walk(mount.path / "campaigns")
            assert time.monotonic() - started < 3 * NOISE * contention()
            assert names > 3 * 9000
            walk(mount.path / "recordings")
            assert len(standin.requests) <= 15
            standin.log.clear()
            folders = [mount.path / "campaigns" / name for name in os.listdir(mount.path / "campaigns")]
            assert min(ls_l(*folders) for _ in range(3)) < 0.15 * NOISE * contention()
            assert standin.requests == []
        with mounted(said, home, variables) as mount:
            standin.log.clear()
            assert walk(mount.path / "calls") + walk(mount.path / "recordings") > 20_000
            listings = [record for record in standin.requests if record.kind in ("findCalls", "findCallBroadcasts")]
            assert len(standin.requests) == len(listings) <= 3  # new calls, in the background
    with mounted(said, home, variables) as mount:
        assert walk(mount.path / "campaigns") == names


def test_offline_asks_nothing(said, home, standin):
    """With --offline everything listed before is listed, and the service gets no request."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        names = walk(mount.path / "campaigns") + walk(mount.path / "media") + walk(mount.path / "calls")
    standin.log.clear()
    with mounted(said, home, variables, "--offline") as mount:
        assert walk(mount.path / "campaigns") + walk(mount.path / "media") + walk(mount.path / "calls") == names
        name = next(name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3"))
        with pytest.raises(OSError, match="No route to host"):
            (mount.path / "recordings" / name).read_bytes()
    assert standin.requests == []


@pytest.mark.parametrize(
    "options", [Options(embed_recordings=False), Options(max_limit=100), Options(know_total=False)]
)
def test_less_obliging_services(said, home, options):
    """Without embedded recordings, with pages of 100 at most, without a total: the same names, in more requests."""
    with StandinThread(Account(seed=5, calls=250), credentials=CANARIES, options=options) as standin:
        with mounted(said, home, account_variables(standin)) as mount:
            calls = list((mount.path / "calls").glob("*/*"))
            of_campaigns = [folder.name for folder in (mount.path / "campaigns").glob("*/calls/*")]
            assert len(calls) == len({folder.name for folder in calls}) == 250
            assert 200 < len(of_campaigns) == len(set(of_campaigns) & {folder.name for folder in calls})
            before = len(standin.requests)
            assert before <= 12
            assert any(name.endswith(".mp3") for name in os.listdir(calls[0]))


def test_wavs_beside_v2_by_the_rule_of_twenty(said, home):
    """With --formats wav v1's list is asked for twenty calls; once all agree, the others' WAVs are listed unasked."""
    account = Account(seed=6, calls=60)
    with StandinThread(account, credentials=CANARIES) as standin:
        with mounted(said, home, account_variables(standin), "--formats", "wav") as mount:
            wavs = []
            for folder, _folders, names in os.walk(mount.path / "campaigns"):
                wavs += [Path(folder, name) for name in names if name.endswith(".wav")]
            listed = [record for record in standin.requests if record.kind == "listRecordings"]
            assert len(listed) <= 21  # and one that tried the key
            assert len(wavs) > 40
            for wav in (wavs[0], wavs[-1]):
                assert wav.read_bytes() == account.recording_object(int(wav.stem), form="wav").read()


@pytest.mark.slow
def test_a_hundred_thousand_calls(said, home):
    """100,000 calls stream: the first entries come with the first page, the daemon stays under 200 MB, and the next
    mount is up as soon as an empty one."""
    with StandinThread(Account(seed=3, calls=100_000, campaigns=1), credentials=CANARIES) as standin:
        variables = account_variables(standin)
        with mounted(said, home, variables, "--timeout", "120") as mount:
            (campaign,) = os.listdir(mount.path / "campaigns")
            folder = mount.path / "campaigns" / campaign
            with os.scandir(folder) as entries:
                next(entry for entry in entries if entry.name.endswith(".mp3"))
                seen_at = time.monotonic()
                pages = [record for record in standin.requests if record.kind == "findCalls" and record.body_nbytes]
                assert seen_at - (pages[0].started_at + (pages[0].seconds or 0)) < 1 * NOISE * contention()
                assert sum(entry.name.endswith(".mp3") for entry in entries) > 80_000
            assert ls_l(folder) < 5 * NOISE * contention()
            assert len(standin.requests) < 110
            rollup = Path(f"/proc/{mount.pid}/smaps_rollup").read_text()
            pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            assert pss * 1024 < 200e6
        started = time.monotonic()
        with mounted(said, home, variables):
            assert time.monotonic() - started < 1.5 * NOISE * contention()


def test_sizes_before_and_after_open(said, home):
    """stat shows the hint before the first open and the truth after it; with --exact-sizes the truth at once, and a
    file without a usable hint is asked for once, for good."""
    account = Account(seed=8, calls=6)
    lying, silent = account.call_ids()[0], account.call_ids()[1]
    (lie,), (none,) = account.recording_ids(lying), account.recording_ids(silent)
    account.set_recording(lie, lengthInBytes=12_345)
    account.set_recording(none, lengthInBytes=-1)
    truths = {number: account.recording_object(number, form="mp3").total_nbytes for number in (lie, none)}
    with StandinThread(account, credentials=CANARIES) as standin:
        variables = account_variables(standin)
        with mounted(said, home, variables) as mount:
            recordings = mount.path / "recordings"
            os.listdir(recordings)
            standin.log.clear()
            assert (recordings / f"{lie}.mp3").stat().st_size == 12_345
            assert standin.requests == []
            assert (recordings / f"{none}.mp3").stat().st_size == truths[none]
            assert (recordings / f"{none}.mp3").stat().st_size == truths[none]
            assert [record.range for record in standin.requests] == ["bytes=0-0"]
            with open(recordings / f"{lie}.mp3", "rb") as file:
                assert os.fstat(file.fileno()).st_size == truths[lie]
                assert len(file.read()) == truths[lie]
        account.set_recording(lie, lengthInBytes=77)
        with mounted(said, home, variables, "--exact-sizes", "--cache-dir", home / "other") as mount:
            assert (mount.path / "recordings" / f"{lie}.mp3").stat().st_size == truths[lie]


def test_sizes_of_a_folder_are_asked_by_eights(said, home):
    """`ls -l` of a folder without known sizes asks for eight at a time: 40 files at 250 ms take less than half of one
    after the other."""
    account = Account(seed=9, calls=40)
    for call_id in account.call_ids():
        account.set_recording(account.recording_ids(call_id)[0], lengthInBytes=0)
    with StandinThread(account, credentials=CANARIES) as standin:
        with mounted(said, home, account_variables(standin)) as mount:
            os.listdir(mount.path / "recordings")
            standin.log.clear()
            standin.standin.link.latency_seconds = 0.25
            assert ls_l(mount.path / "recordings") < 40 * 0.25 / 2
            # of a listing nothing more is asked, nor of any file twice; the refresh of a listing is no size
            asked = Counter((record.path, record.range) for record in standin.requests if "/recordings" in record.path)
            assert len(asked) == 40
            assert set(asked.values()) == {1}, asked.most_common(3)
            assert {wanted for _path, wanted in asked} == {"bytes=0-0"}
