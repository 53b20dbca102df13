"""`cffs catalog` as a process of its own, with and without a mount."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEY = "CANARYKEY0123"
BASE = "http://127.0.0.1:9/cloud/1"
HASH = "0123456789abcdef0123456789abcdef"


def cffs(
    home: Path, *arguments: str, stdin: bytes = b"", key: str = KEY, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the command with a home of its own."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_STATE_HOME": str(home / "state"),
        "PYTHONPATH": str(ROOT),
        "CFFS_V1_URL": BASE,
        "CFFS_APIKEY": key,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cffs.cli", *arguments], env=variables, cwd=home, input=stdin, capture_output=True
    )
    told = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert told.returncode == code, told.stderr
    return told


def dynamic(number: int, *, query: str = f"?apikey={KEY}") -> str:
    """The URL of a dynamic recording."""
    return f"{BASE}/files/recording/dynamic/{HASH}/2014/8/123/cid_{number}.wav{query}"


CSV = "date,url\n" + "".join(f"2014-08-01,{dynamic(n)}\n" for n in range(3)) + f"x,{BASE}/files/recording/77\n"
XML = f"<Calls><Url>{dynamic(1)}&amp;x=1</Url><Url>{dynamic(9, query='')}</Url></Calls>"
OTHERS = f"http://evil.example/cloud/1/files/recording/1 {BASE}/files/recording/dynamic/../../x {BASE}"


def test_import_add_list(tmp_path: Path) -> None:
    """A CSV, an XML from stdin in UTF-16, and arguments: the counts of found, new and refused are printed, `list` shows
    the paths, and no file holds the key."""
    (tmp_path / "calls.secret").write_text(CSV)
    assert cffs(tmp_path, "catalog", "import", "calls.secret").stdout == "found 4, new 4, refused 0\n"
    told = cffs(tmp_path, "catalog", "import", "-", "--json", stdin=XML.encode("utf-16"))
    assert json.loads(told.stdout) == {"found": 2, "new": 1, "refused": {}}
    added = cffs(tmp_path, "catalog", "add", dynamic(1), OTHERS)
    assert (
        added.stdout == "found 1, new 0, refused 2 (1 another host, 1 not a plain URL)\n" or "malformed" in added.stdout
    )
    paths = cffs(tmp_path, "catalog", "list").stdout.splitlines()
    folder = f"dynamic/{HASH}/2014/8/123"
    assert paths == [*(f"{folder}/cid_{number}.wav" for number in (0, 1, 2, 9)), "recordings/77.wav"]
    assert json.loads(cffs(tmp_path, "catalog", "list", "--json").stdout) == paths
    for file in (path for top in ("state", "cache") for path in (tmp_path / top).rglob("*") if path.is_file()):
        assert KEY.encode() not in file.read_bytes()


def test_accounts_are_apart(tmp_path: Path) -> None:
    """What one account imports, another does not list."""
    cffs(tmp_path, "catalog", "add", dynamic(1))
    assert cffs(tmp_path, "catalog", "list", key="another").stdout == ""
    assert cffs(tmp_path, "catalog", "list", "--json", key="another").stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["catalog"], 2),
        (["catalog", "add"], 2),
        (["catalog", "import", "missing.csv"], 2),
        (["catalog", "add", "x"], 0),
    ],
)
def test_usage(tmp_path: Path, arguments: list[str], code: int) -> None:
    """Wrong usage is exit 2; a text without a URL is no failure."""
    cffs(tmp_path, *arguments, code=code)


def test_only_refused_is_a_failure(tmp_path: Path) -> None:
    """Where every URL was refused nothing was stored, and the exit status is 1."""
    told = cffs(tmp_path, "catalog", "add", "http://evil.example/cloud/1/files/recording/1", code=1)
    assert told.stdout == "found 0, new 0, refused 1 (1 another host)\n"


def test_no_credentials(tmp_path: Path) -> None:
    """Without an account there is no catalogue: one line that says what to do."""
    assert "no credentials" in cffs(tmp_path, "catalog", "list", key="", code=1).stderr
