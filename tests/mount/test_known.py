"""The control command `known` of a real mount: the right facts, and no request."""

import json
from pathlib import Path

import pytest

from cffs.cli.control import ask
from cffs.cli.messages import Failed
from cffs.daemon.folder_facts import PAGE
from cffs.daemon.mount_table import mount_at
from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES
from tests.mount.mounting import Mounted, account_variables, mounted, run


def known(mount: Mounted, folder: str) -> dict[str, dict[str, object]]:
    """The facts of all files of the folder, by name."""
    table = mount_at(mount.path)
    assert table is not None
    found, after = {}, 0
    while after is not None:
        answer = ask(table, "known", {"folder": folder, "after": after})
        assert isinstance(answer, dict)
        assert set(answer["files"]) & set(found) == set()
        found |= answer["files"]
        after = answer["after"]
    return found


def test_facts_are_those_of_the_files(said, home, standin):
    """Number, date and length are those of the listed name, labels those of the documents; reading a file makes it
    held, `prefetch --pin` pinned; and no question of a file manager costs a request."""
    with mounted(said, home, account_variables(standin)) as mount:
        folder = next(
            path for path in sorted((mount.path / "by-number").iterdir()) if len(list(path.glob("*.mp3"))) > 1
        )
        files = sorted(folder.glob("*.mp3"))
        documents = {
            file.name: json.loads((mount.path / f"recordings/{file.stem.rpartition('_')[2]}.json").read_bytes())
            for file in files
        }
        names = [file.name for file in files]
        requests = len(standin.requests)
        before = known(mount, f"by-number/{folder.name}")
        assert len(standin.requests) == requests
        assert set(before) == set(names)
        for name, facts in before.items():
            date, time, _way, number, length, *_rest = name.split("_")
            assert facts["date"] == f"{date} {time.replace('.', ':')}"
            assert facts["number"] == number
            minutes, seconds = divmod(int(facts["seconds"]), 60)
            assert length == f"{minutes}m{seconds:02}s"
            assert facts["seconds"] == documents[name]["lengthInSeconds"]
            assert (facts["held"], facts["pinned"]) == ("none", False)
            assert isinstance(facts["labels"], list)
        files[0].read_bytes()
        assert run(said, home, "prefetch", "--pin", files[1]).returncode == 0
        requests = len(standin.requests)
        after = known(mount, f"by-number/{folder.name}")
        assert [(after[name]["held"], after[name]["pinned"]) for name in names[:2]] == [("full", False), ("full", True)]
        by_date = Path(*before[names[0]]["date"].partition(" ")[0].split("-"))
        assert known(mount, f"by-date/{by_date}")[names[0]] == after[names[0]]
        assert len(standin.requests) == requests


def test_a_large_folder_comes_in_pages(said, home):
    """A folder of more files than a page has is reported whole, each file once, without folders and rendered files."""
    with StandinThread(Account(seed=3, calls=900), credentials=CANARIES) as standin:
        with mounted(said, home, account_variables(standin)) as mount:
            listed = {path.name for path in (mount.path / "recordings").iterdir()}
            files = known(mount, "recordings")
            assert set(files) == {name for name in listed if name.endswith((".mp3", ".wav"))}
            assert len(files) > PAGE
            assert known(mount, "") == known(mount, "campaigns") == {}


def test_what_was_not_listed_costs_no_request(said, home, standin):
    """A folder that only a request would prove is empty; wrong arguments are one line."""
    with mounted(said, home, account_variables(standin)) as mount:
        requests = len(standin.requests)
        assert known(mount, "campaigns/77/88") == {}
        assert known(mount, "no/such/../folder") == {}
        assert len(standin.requests) == requests
        table = mount_at(mount.path)
        assert table is not None
        for wrong in ({}, {"folder": 1}, {"folder": "", "after": "x"}, {"folder": "", "after": True}):
            with pytest.raises(Failed, match="known needs a folder"):
                ask(table, "known", wrong)
