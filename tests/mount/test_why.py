"""`cffs why`: where a file's bytes came from, and what happens next."""

import json
import os

import pytest

from cffs.standin.growing_call import GrowingCall
from tests.mount.mounting import account_variables, mounted, run


def test_the_story_of_a_file(said, home, standin):
    """A file that was never opened, read, failing, growing, or rendered is described in at most ten lines, at no
    request for bytes."""
    live = GrowingCall(standin.account, standin.account.call_ids()[0], seconds=4)
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:

        def why(path: object, *options: str) -> str:
            done = run(said, home, "why", path, *options, **variables)
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
            assert len(done.stdout.splitlines()) <= 10 or options
            return done.stdout

        folder = mount.path / "recordings"
        names = sorted(name for name in os.listdir(folder) if name.endswith(".mp3"))
        path, failing = folder / names[0], folder / names[1]
        before = len(standin.requests)
        never = json.loads(why(path, "--json"))
        assert never["size"]["exact"] is False
        assert (never["fetched"], never["last_read_from"], never["last_error"]) == ([], None, None)
        assert "listing" in why(path)
        assert len(standin.requests) == before

        body = path.read_bytes()
        read = json.loads(why(path, "--json"))
        assert read["size"] | {"from": ""} == {"bytes": len(body), "exact": True, "from": ""}
        assert f"calls/recordings/{path.stem}.mp3" in read["size"]["from"]
        assert (read["fetched"][0]["start"], read["fetched"][-1]["stop"]) == (0, len(body))
        assert read["last_read_from"] in ("service", "memory")  # opening it may have brought all of it
        assert read["next"] == "opening and reading it ask nothing"

        standin.faults.add("status", path=failing.name, code=500)
        with pytest.raises(OSError):
            failing.read_bytes()
        assert "answered 500" in why(failing)

        made = folder / f"{live.id}.mp3"
        made.read_bytes()
        assert "state RECORDING" in why(made)
        assert "by the service" in why(made)
        assert "kept nowhere" in why(made)
        assert "made from what is known" in why(made.with_suffix(".json"))


def test_what_it_cannot_tell(said, home, standin):
    """A path outside a mount, a folder, a missing name: one line, exit status 1."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        for path in (home, mount.path / "recordings", mount.path / "recordings/nothing.mp3", mount.path):
            done = run(said, home, "why", path, **variables)
            assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
