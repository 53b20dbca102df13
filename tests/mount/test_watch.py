"""`cffs watch`: every new recording once, also over restarts."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.cli.session_bus import NotificationServer, session_bus
from tests.mount.mounting import account_variables, environment, mounted, run, until
from tests.shared.redis_server import redis_server

WAIT_SECONDS = 30


@contextmanager
def watching(home, variables, *arguments):
    """The lines of a watch that runs during the block."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "cffs.cli", "watch", *map(str, arguments)],
        env=environment(home, variables),
        cwd=home,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        lines = queue.Queue()
        reader = threading.Thread(target=lambda: [lines.put(json.loads(line)) for line in process.stdout])
        reader.start()
        try:
            yield lines
        finally:
            process.terminate()
            reader.join()


def new_call(standin):
    """A call of just now with one recording of 7 s."""
    return standin.account.add_call(recordings=1, seconds=7, created_ms=time.time_ns() // 10**6)


def test_each_new_recording_once(said, home, standin):
    """A recording that is made while it watches is one line with its path and facts; with --state the next watch
    continues after it, over a remount, and prints what was made meanwhile, once."""
    variables = account_variables(standin)
    options = ("--dir-ttl", "0.2")
    state = home / "place"
    with mounted(said, home, variables, *options) as mount:
        os.listdir(mount.path / "recordings")
        first = run(said, home, "watch", "--once", "--state", state, mount.path, **variables)
        assert first.stdout == "", first.stderr
        with watching(home, variables, "--state", state, mount.path) as lines:
            call = new_call(standin)
            (ident,) = standin.account.recording_ids(call)
            line = lines.get(timeout=WAIT_SECONDS)
            assert (line["id"], line["call_id"], line["seconds"]) == (ident, call, 7)
            assert line["path"].startswith(str(mount.path))
            folder, name = os.path.split(line["path"])
            assert name in os.listdir(folder)
            assert f"_{ident}." in name
            assert line["from"] == standin.account.call_row(call).get("fromNumber")
        assert lines.empty()
        (second,) = standin.account.recording_ids(new_call(standin))
    with mounted(said, home, variables, *options) as mount:
        with watching(home, variables, "--state", state, mount.path) as lines:
            assert lines.get(timeout=WAIT_SECONDS)["id"] == second
        everything = run(said, home, "watch", "--once", "--since", "start", mount.path, **variables).stdout.splitlines()
        assert len({json.loads(line)["id"] for line in everything}) == len(everything) == 26
        paths = [Path(json.loads(line)["path"]) for line in everything]
        assert {path.relative_to(mount.path).parts[0] for path in paths} == {"by-date", "campaigns"}
        assert [path for path in paths if path.name not in os.listdir(path.parent)] == []
        none = run(said, home, "watch", "--once", "--since", "2030-01-01", mount.path, **variables)
        assert (none.returncode, none.stdout) == (0, "")


def test_days_and_paths_are_those_of_the_mount(said, home, standin):
    """`--since DAY` begins when that day begins in the zone of the mount's names, and paths are spelt as the mount
    lists them: by ids where it lists ids, although the watch was not given its options."""
    made = datetime(2026, 11, 23, 0, 30, tzinfo=ZoneInfo("Pacific/Kiritimati"))  # 14 hours before UTC is there
    before = standin.account.add_call(created_ms=int(made.timestamp() - 3600) * 1000, recordings=1)
    call = standin.account.add_call(created_ms=int(made.timestamp()) * 1000, recordings=1)
    variables = account_variables(standin)
    with mounted(said, home, variables, "--timezone", "Pacific/Kiritimati", "--names", "ids") as mount:
        os.listdir(mount.path / "recordings")
        done = run(said, home, "watch", "--once", "--since", "2026-11-23", mount.path, **variables)
        lines = {line["call_id"]: line for line in map(json.loads, done.stdout.splitlines())}
        assert call in lines
        assert before not in lines
        path = Path(lines[call]["path"])
        assert path.parent.name == str(call)
        assert path.name in os.listdir(path.parent)


def test_a_terminal_obeys_nothing_of_the_service(said, home, standin):
    """Labels and numbers of the service with C1 controls, DEL, escape sequences and bidi overrides are printed spelt
    out, and read back as they are."""
    odd = "\x9b31m\x7f\x1b]0;t\x07\u202eabc\u2028é"
    variables = account_variables(standin)
    call = standin.account.add_call(labels=[odd], toNumber=f"1{odd}")
    with mounted(said, home, variables) as mount:
        os.listdir(mount.path / "recordings")
        done = run(said, home, "watch", "--once", "--since", "start", mount.path, **variables)
        lines = done.stdout.split("\n")[:-1]
        assert all(line.isprintable() for line in lines)
        (line,) = [told for told in map(json.loads, lines) if told["call_id"] == call]
        assert (line["labels"], line["to"]) == ([odd], f"1{odd}")


def test_the_place_is_kept_from_the_start(said, home, standin):
    """A watch that is ended before its first line continues from where it began: what came meanwhile is printed."""
    variables = account_variables(standin)
    state = home / "place"
    with mounted(said, home, variables, "--dir-ttl", "0.2") as mount:
        os.listdir(mount.path / "recordings")
        with watching(home, variables, "--state", state, mount.path) as lines:
            deadline = time.monotonic() + WAIT_SECONDS
            while not state.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert lines.empty()
        (made,) = standin.account.recording_ids(new_call(standin))
        with watching(home, variables, "--state", state, mount.path) as lines:
            assert lines.get(timeout=WAIT_SECONDS)["id"] == made


def test_a_reader_that_goes_early(said, home, standin):
    """`cffs watch --once | head -1` prints a line and nothing else, and the place is that of the last line written."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        os.listdir(mount.path / "recordings")
        command = f"{sys.executable} -P -m cffs.cli watch --once --since start {mount.path} | head -1"
        done = subprocess.run(
            ["sh", "-c", command], env=environment(home, variables), cwd=home, capture_output=True, text=True
        )
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == 1


def test_wrong_use(said, home, standin):
    """A folder without a mount, another account's mount, or no place to start from is one line and an exit status."""
    variables = account_variables(standin)
    assert run(said, home, "watch", home, **variables).returncode == 1
    with mounted(said, home, variables) as mount:
        other = run(said, home, "watch", mount.path, **{**variables, "CFFS_LOGIN": "another"})
        assert other.returncode == 1
        assert "another account" in other.stderr
        for since in ("soon", "9" * 20, "9" * 5000, str(2**63), "-1", "٣", "2026-13-01"):
            done = run(said, home, "watch", "--once", "--since", since, mount.path, **variables)
            assert (done.returncode, done.stdout) == (2, "")
            assert "--since takes" in done.stderr
        (home / "no place").write_text("9" * 30)
        os.mkfifo(home / "pipe")
        for state in ("no place", "pipe", "."):
            done = run(said, home, "watch", "--once", "--state", home / state, mount.path, **variables)
            assert done.returncode == 1 or state == "pipe"
            assert "bug" not in done.stderr


def test_a_planted_link_is_not_followed(said, home, standin):
    """The place is written to a file of its own: what lay under its name before is left as it is."""
    variables = account_variables(standin)
    (home / "mine").write_text("precious")
    with mounted(said, home, variables) as mount:
        os.listdir(mount.path / "recordings")
        for plant in (os.symlink, os.link):
            plant(home / "mine", home / "place.new")
            run(said, home, "watch", "--once", "--since", "start", "--state", home / "place", mount.path, **variables)
            assert (home / "place").read_text().strip().isdecimal()
            assert (home / "mine").read_text() == "precious"
            assert not (home / "place").is_symlink()
            assert not os.path.lexists(home / "place.new")


def test_manifest(said, home, standin):
    """sha256sum accepts the manifest of a folder whose files were read, and `cffs verify` finds a copy that differs."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        call = next((mount.path / "calls").glob("*/*"))  # by month
        copy = home / "copy"
        copy.mkdir()
        for path in call.glob("*.mp3"):
            (copy / path.name).write_bytes(path.read_bytes())
        (copy / "MANIFEST.sha256").write_bytes((call / "MANIFEST.sha256").read_bytes())
        for folder in (call, copy):
            done = subprocess.run(["sha256sum", "-c", "MANIFEST.sha256"], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        assert run(said, home, "verify", copy).stdout.startswith("1 file as it should be")
        victim = next(copy.glob("*.mp3"))
        victim.write_bytes(victim.read_bytes()[:-1] + b"x")
        done = run(said, home, "verify", copy)
        assert done.returncode == 1
        assert f"differs: {victim.name}" in done.stdout
        victim.unlink()
        assert "absent: " in run(said, home, "verify", copy / "MANIFEST.sha256").stdout


def test_a_command_for_each(said, home, standin):
    """`--exec` runs a command once for each recording, some at a time; one that failed is run at the next start, alone,
    and the rest is not repeated."""
    variables = account_variables(standin)
    state, log = home / "place", home / "ran"
    with mounted(said, home, variables) as mount:
        os.listdir(mount.path / "recordings")
        number = standin.account.recording_ids(next(filter(standin.account.recording_ids, standin.account.call_ids())))[
            0
        ]
        script = f'test -s "$1" && echo "$1" >> {log} && case "$1" in *_{number}.mp3) test -e {home}/mended;; esac'
        (home / "work").write_text(script)
        arguments = ("--once", "--since", "start", "--exec", f"sh {home}/work {{}}", "--jobs", "4", "--state", state)
        done = run(said, home, "watch", *arguments, mount.path, **variables)
        assert (done.returncode, done.stdout) == (1, ""), (done.stderr, log.read_text(), number)
        (line,) = done.stderr.splitlines()
        assert f"_{number}.mp3: sh ended with status 1" in line
        ran = log.read_text().splitlines()
        assert len(set(ran)) == len(ran) == 24
        (home / "mended").touch()
        again = run(
            said, home, "watch", "--once", "--exec", f"sh {home}/work", "--state", state, mount.path, **variables
        )
        assert (again.returncode, again.stderr) == (0, "")
        (repeated,) = log.read_text().splitlines()[len(ran) :]
        assert repeated.endswith(f"_{number}.mp3")
        third = run(
            said, home, "watch", "--once", "--exec", f"sh {home}/work", "--state", state, mount.path, **variables
        )
        assert (third.returncode, len(log.read_text().splitlines())) == (0, len(ran) + 1)


def test_a_notification(said, home, standin):
    """`--notify` prints nothing and shows what is new once: all that a look finds in one notification, and the next
    watch only what came since; without a server nothing is lost."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, session_bus(Path(folder)) as address:
        variables = account_variables(standin) | {"DBUS_SESSION_BUS_ADDRESS": address}
        arguments = ("watch", "--notify", "--once", "--state", home / "place")
        with mounted(said, home, variables, "--dir-ttl", "0.2") as mount:
            os.listdir(mount.path / "recordings")
            assert run(said, home, *arguments, "--since", "start", mount.path, **variables).returncode == 2
            with NotificationServer(address) as server:
                done = run(said, home, *arguments, "--since", "start", mount.path, **variables)
                assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
                (ident,) = standin.account.recording_ids(new_call(standin))
                until((mount.path / f"recordings/{ident}.mp3").exists)
                until(lambda: f"{ident}.mp3" in os.listdir(mount.path / "recordings"))
                run(said, home, *arguments, mount.path, **variables)
                run(said, home, *arguments, mount.path, **variables)
            assert [summary for summary, _body in server.shown] == ["24 new recordings", "New recording"]
            assert server.shown[-1][1].endswith(", 0:07")


def test_a_stream_gives_each_recording_to_one_worker(said, home, standin, tmp_path):
    """Two watches put the same new recordings on a stream, two workers take them: each recording is worked on once,
    also where its command ends while the server does not answer; a failing command is said, and without the server a
    watch waits and loses nothing."""
    log = tmp_path / "worked"
    command = f"sh -c 'echo $1 >> {log}; head -c 20 $1 > /dev/null' x"
    with redis_server(tmp_path) as server:
        variables = account_variables(standin) | {"CFFS_SHARED": server.url}
        with mounted(said, home, variables, "--dir-ttl", "0.2") as mount:
            os.listdir(mount.path / "recordings")
            refused = run(said, home, "watch", "--to", "new", "--exec", "true", mount.path, **variables)
            assert refused.returncode == 2
            with ExitStack() as stack:
                for number in range(2):
                    stack.enter_context(
                        watching(home, variables, "--to", "new", "--state", home / f"at{number}", mount.path)
                    )
                    stack.enter_context(watching(home, variables, "--from", "new", "--exec", command, mount.path))
                places = [home / f"at{number}" for number in range(2)]
                until(lambda: all(place.exists() for place in places))
                before = int(places[0].read_text())
                ids = [i for _ in range(4) for i in standin.account.recording_ids(new_call(standin))]
                expected = sorted(f"{mount.path}/recordings/{ident}.mp3" for ident in ids)
                until(lambda: log.exists() and sorted(log.read_text().split()) == expected)
                until(lambda: [int(place.read_text()) - before for place in places] == [4, 4])
            server.stop()
            (late,) = standin.account.recording_ids(new_call(standin))
            until(lambda: any(str(late) in name for name in os.listdir(mount.path / "recordings")))
            gone = run(said, home, "watch", "--once", "--to", "new", "--state", home / "at0", mount.path, **variables)
            assert gone.returncode == 1
            assert len(lines := gone.stderr.splitlines()) == 2, lines
            assert all("the shared server cannot be had: no connection" in line for line in lines)
            server.start()
            back = run(said, home, "watch", "--once", "--to", "new", "--state", home / "at0", mount.path, **variables)
            assert (back.returncode, back.stderr) == (0, "")
            (held,) = standin.account.recording_ids(new_call(standin))
            until(lambda: any(str(held) in name for name in os.listdir(mount.path / "recordings")))
            run(said, home, "watch", "--once", "--to", "held", "--state", home / "at0", mount.path, **variables)
            freezing = f"sh -c 'kill -STOP {server.pid}; (sleep 0.5; kill -CONT {server.pid}) & : $1' x"
            done = run(said, home, "watch", "--once", "--from", "held", "--exec", freezing, mount.path, **variables)
            assert "may be done again" not in done.stderr
            streams = [key for key in server.ask("KEYS", "*") if server.ask("TYPE", key) == b"stream"]
            assert sorted(server.ask("XLEN", key) for key in streams) == [0, 1]
            log.unlink()
            failing = f"sh -c 'echo $1 >> {log}; exit 3' x"
            done = run(said, home, "watch", "--once", "--from", "new", "--exec", failing, mount.path, **variables)
            assert log.read_text().split() == [f"{mount.path}/recordings/{late}.mp3"]
            assert done.returncode == 1
            assert "sh ended with status 3; a worker tries it again in a minute" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_worker_that_dies_and_a_server_that_restarts(said, home, standin, tmp_path):
    """Of three workers one is killed with its commands, and the server, which keeps its data, is away for some seconds
    in the middle: every recording is worked on to its end once, and only what the dead worker had is begun again."""
    began, ended = tmp_path / "began", tmp_path / "ended"
    script = f'echo $2 $1 >> {began}; test -s "$2" && sleep 1.5 && echo $2 $1 >> {ended}'
    (tmp_path / "work").write_text(script)
    ids = []

    def new(count):
        for _ in range(count):
            ids.extend(standin.account.recording_ids(new_call(standin)))

    def lines(path):
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    with redis_server(tmp_path, options=("--appendonly", "yes", "--appendfsync", "always")) as server:
        variables = account_variables(standin) | {"CFFS_SHARED": server.url}
        with mounted(said, home, variables, "--dir-ttl", "0.3") as mount, ExitStack() as stack:
            os.listdir(mount.path / "recordings")
            stack.enter_context(watching(home, variables, "--to", "new", "--state", home / "at", mount.path))
            watch = (sys.executable, "-P", "-m", "cffs.cli", "watch")
            workers = [
                subprocess.Popen(
                    [*watch, "--from", "new", "--jobs", "2", "--exec", f"sh {tmp_path}/work {number} {{}}", mount.path],
                    env=environment(home, variables),
                    cwd=home,
                    start_new_session=True,
                )
                for number in range(3)
            ]
            for worker in workers:
                stack.callback(worker.wait)
                stack.callback(worker.terminate)
            until((home / "at").exists)
            new(12)
            until(lambda: any(who == "0" for _path, who in lines(began)[6:]))
            os.killpg(workers[0].pid, signal.SIGKILL)
            held = {path for path, who in lines(began) if who == "0"} - {
                path for path, who in lines(ended) if who == "0"
            }
            until(lambda: len(lines(ended)) >= 8)
            server.stop()
            new(4)
            time.sleep(5)
            server.start()
            new(4)
            expected = sorted(f"{mount.path}/recordings/{ident}.mp3" for ident in ids)
            deadline = time.monotonic() + 150
            while sorted(path for path, _who in lines(ended)) != expected:
                assert time.monotonic() < deadline, (expected, lines(ended))
                time.sleep(0.5)
            assert sorted(path for path, _who in lines(began)) == sorted([*expected, *held])
            assert held
