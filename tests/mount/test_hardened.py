"""The daemon's process: no core, no tracing, no credential in any environment."""

import os
from pathlib import Path

import pytest

from tests import canary
from tests.cli.helpers import one_line
from tests.mount.mounting import account_variables, mounted, run


@pytest.mark.parametrize("is_debugged", [False, True])
def test_the_daemon_dumps_no_core_and_is_not_traced(said, home, standin, is_debugged):
    """No core even with --debug, which opens the process to its own user again and does nothing else; and no
    environment or command line of it holds a credential."""
    with mounted(said, home, account_variables(standin), *(["--debug"] if is_debugged else [])) as mount:
        process = Path(f"/proc/{mount.pid}")
        limits = (process / "limits").read_text().splitlines()
        assert next(line.split()[4:6] for line in limits if line.startswith("Max core file size")) == ["0", "0"]
        # a process that is not dumpable belongs to root, so that no other user may read its memory or environment
        assert (process / "environ").stat().st_uid == (os.getuid() if is_debugged else 0)
        assert canary.shows((process / "cmdline").read_bytes()) is None
        if os.geteuid() != 0 and not is_debugged:
            with pytest.raises(PermissionError):
                (process / "environ").read_bytes()
        else:
            environment = (process / "environ").read_bytes()
            assert b"CFFS_" not in environment
            assert canary.shows(environment) is None


@pytest.mark.parametrize(
    ("api", "url"),
    [("v1", "http://api.example.com/cloud/1"), ("v2", "http://10.0.0.1/v2"), ("v2", "http://169.254.1.1/")],
)
def test_plain_http_to_another_machine_is_refused(said, home, api, url):
    """Plain http is refused before anything is resolved or sent, in one line that names the option to insist with."""
    (home / "mnt").mkdir()
    variables = {"CFFS_APIKEY": canary.CANARIES.apikey, f"CFFS_{api.upper()}_URL": url}
    line = one_line(run(said, home, "mount", home / "mnt", **variables), 1)
    assert f"--{api}-url" in line
    assert "--insecure-http" in line


def test_a_ca_bundle_that_is_none_is_one_line(said, home, standin):
    """A --ca-bundle that cannot be used stops the mount."""
    (home / "mnt").mkdir()
    (home / "ca.pem").write_text("nothing")
    more = ("--ca-bundle", home / "ca.pem")
    line = one_line(run(said, home, "mount", *more, home / "mnt", **account_variables(standin)), 1)
    assert "--ca-bundle" in line
