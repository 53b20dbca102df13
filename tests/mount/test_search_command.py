"""Transcripts taken in, found by their words, and exported with their recordings."""

import csv
import fcntl
import json
import os
import subprocess
from pathlib import Path

import bagit

from tests.mount.mounting import account_variables, mounted, run

SRT = """1
00:00:01,000 --> 00:00:02,500
Hello, I want a refund

2
00:00:04,000 --> 00:00:05,000
good bye
"""


def test_from_transcripts_to_a_bag(said, home, standin):
    """Transcripts elsewhere become notes, a search plays the place where a word was said, also where a phrase goes on
    in the next subtitle, what it prints is printable, and what is no search is wrong usage. An export is whole, is
    verified by sha256sum alone and by bagit, goes on after an end, and costs the service each recording once."""
    variables = account_variables(standin)
    with mounted(said, home, variables, "--notes", str(home / "notes")) as mount:
        numbers = [name[:-4] for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3")]
        listed = {path.stem.rpartition("_")[2]: path for path in mount.path.glob("by-date/*/*/*/*.mp3")}
        transcripts = home / "transcripts/deep"
        transcripts.mkdir(parents=True)
        (transcripts / f"{numbers[0]}.srt").write_text(SRT)
        (transcripts / f"{listed[numbers[1]].stem}.txt").write_text("a refund was promised")
        (transcripts / "99.srt").write_text(SRT)
        (transcripts / "readme.doc").write_text("refund")
        done = run(said, home, "notes", "import", home / "transcripts", "--mount", mount.path, **variables)
        assert (done.returncode, done.stdout) == (1, "2 taken, 0 there already, 1 of other names\n")
        assert "99.srt: Invalid argument" in done.stderr

        found = run(said, home, "search", "refund", "--mount", mount.path, "--json", **variables)
        hits = {str(hit["id"]): hit for hit in map(json.loads, found.stdout.splitlines())}
        assert set(hits) == set(numbers[:2])
        assert (hits[numbers[0]]["start"], hits[numbers[0]]["text"]) == (1.0, "Hello, I want a refund")
        assert Path(hits[numbers[0]]["play"]).read_bytes()[:4] == b"RIFF"
        assert hits[numbers[1]]["start"] is None
        shown = run(said, home, "search", '"good bye"', "--mount", mount.path, **variables)
        assert "  0:04  good bye" in shown.stdout.splitlines()
        across = run(said, home, "search", '"refund good"', "--mount", mount.path, "--json", **variables)
        (hit,) = map(json.loads, across.stdout.splitlines())
        assert (hit["start"], hit["stop"], hit["text"]) == (1.0, 5.0, "Hello, I want a refund good bye")
        (mount.path / f"recordings/{numbers[3]}.txt").write_text("a \x1b]0;t\x07 zebra \u202e here")
        hostile = run(said, home, "search", "zebra", "--mount", mount.path, **variables)
        assert all(line.isprintable() for line in hostile.stdout.splitlines())
        for wrong in (("*",), ('""',), ("--sample", "-1"), ("--after", "soon")):
            done = run(said, home, "search", *wrong, "--mount", mount.path, **variables)
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        none = run(said, home, "search", "nothing", "--mount", mount.path, **variables)
        assert (none.returncode, none.stdout, none.stderr) == (0, "", "cffs: nothing was found\n")

        bag = home / "bag"
        arguments = ("export", "text=refund", listed[numbers[2]], bag, "--mount", mount.path)
        standin.faults.add("status", path=rf"recordings/{numbers[2]}", code=500)
        broken = run(said, home, *arguments, **variables)
        assert broken.returncode == 1
        assert str(listed[numbers[2]]) in broken.stderr
        assert not (bag / "manifest-sha256.txt").exists()
        standin.faults.clear()
        standin.log.clear()
        other = os.open(bag / "data", os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another export writes into" in run(said, home, *arguments, **variables).stderr
        os.close(other)
        done = run(said, home, *arguments, **variables)
        assert done.returncode == 0, done.stderr
        asked = {record.path.rpartition("/")[2].partition(".")[0] for record in standin.log.snapshot()}
        assert numbers[2] in asked
        assert not asked & set(numbers[:2])
        check = subprocess.run(["sha256sum", "-c", "manifest-sha256.txt"], cwd=bag, capture_output=True, text=True)
        assert check.returncode == 0, check.stdout
        tags = subprocess.run(["sha256sum", "-c", "tagmanifest-sha256.txt"], cwd=bag, capture_output=True)
        assert tags.returncode == 0
        assert bagit.Bag(str(bag)).validate()
        payload = list((bag / "data").iterdir())
        assert len(payload) == 3 * 2 + 2 + 1
        oxum = f"Payload-Oxum: {sum(path.stat().st_size for path in payload)}.{len(payload)}\n"
        assert oxum in (bag / "bag-info.txt").read_text()
        with (bag / "data/index.csv").open() as file:
            assert {row["id"] for row in csv.DictReader(file)} == set(numbers[:3])
        with (bag / "validators.csv").open() as file:
            shown = {row["file_name"]: row["validator"] for row in csv.DictReader(file)}
        assert shown.keys() == {path.name for path in payload if path.suffix == ".mp3"}
        assert all(shown.values())
        secrets = (variables["CFFS_APIKEY"], variables["CFFS_LOGIN"], variables["CFFS_PASSWORD"])
        assert not [secret for secret in secrets for path in bag.glob("*.*") if secret in path.read_text()]
