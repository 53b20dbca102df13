"""The views through the kernel: every recording where it belongs, at no request."""

import os
from pathlib import Path

from tests.mount.mounting import account_variables, mounted, run

VIEWS = ("by-date", "by-number", "by-label")


def files_below(top: Path) -> dict[str, int]:
    """Every MP3 below a folder: its path and inode."""
    found = {}
    for folder, _folders, names in os.walk(top):
        found |= {f"{folder}/{name}": os.stat(f"{folder}/{name}").st_ino for name in names if name.endswith(".mp3")}
    return found


def test_walk(said, home, standin):
    """`find` over every view gives the inodes of recordings/, costs no request, and what is read is the recording."""
    with mounted(said, home, account_variables(standin)) as mount:
        inodes = set(files_below(mount.path / "recordings").values())
        before = len(standin.requests)
        for view in VIEWS:
            found = files_below(mount.path / view)
            shown = set(found.values())
            assert shown <= inodes
            assert view not in ("by-date", "by-number") or shown == inodes
        assert len(standin.requests) == before
        path = next(iter(files_below(mount.path / "by-date")))
        ident = path.rpartition("_")[2]
        assert Path(path).read_bytes() == (mount.path / "recordings" / ident).read_bytes()


def test_zone(said, home, standin):
    """`--timezone` moves recordings to their day in that zone."""
    with mounted(said, home, account_variables(standin), "--timezone", "Pacific/Kiritimati") as mount:
        names = [Path(path).name for path in files_below(mount.path / "by-date")]
        days = {path.split("/by-date/")[1][:10].replace("/", "-") for path in files_below(mount.path / "by-date")}
        assert {name[:10] for name in names} == days == {"2024-06-02"}


def test_search_and_playlist(said, home, standin):
    """A search is a folder by lookup; a playlist's size is that of its bytes, its time stays, and its items open."""
    with mounted(said, home, account_variables(standin)) as mount:
        campaign = mount.path / "campaigns" / os.listdir(mount.path / "campaigns")[0]
        assert "playlist.m3u8" in os.listdir(campaign)
        times = set()
        found = os.listdir(mount.path / "search/min-seconds=30&state=READY")
        assert 0 < len(found) < 24
        assert os.listdir(mount.path / "search") == ["README.txt"]
        assert not (mount.path / "search/nonsense=1").exists()
        assert not (mount.path / "search/numbr=1&after=2024").exists()
        shown = run(said, home, "status", mount.path).stdout
        assert (
            "search: numbr=1&after=2024: there is no field 'numbr' (did you mean number?); there are number, " in shown
        )
        os.listdir(mount.path / "search/min-seconds=31")
        assert "search: " not in run(said, home, "status", mount.path).stdout
        for folder in (campaign, mount.path / "search/min-seconds=30&state=READY"):
            playlist = folder / "playlist.m3u8"
            for _ in range(2):
                stat = playlist.stat()
                times.add((folder, stat.st_mtime_ns))
                assert stat.st_size == len(playlist.read_bytes()) > 8
            for line in playlist.read_text().splitlines():
                assert line.startswith("#") or (folder / line).exists()
        assert len(times) == 2


def test_offline_from_the_catalogue(said, home, standin):
    """The next mount, with the network gone, shows the same views from the catalogue."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        here = {view: sorted(files_below(mount.path / view)) for view in ("by-date", "by-number", "by-label")}
    before = len(standin.requests)
    with mounted(said, home, variables, "--offline") as mount:
        assert {view: sorted(files_below(mount.path / view)) for view in here} == here
    assert len(standin.requests) == before
    assert run(said, home, "--version").returncode == 0


def test_import_into_a_running_mount(said, home, standin):
    """Recordings that `cffs catalog import` finds are listed at the next `ls` of the mount that runs, and play."""
    variables = account_variables(standin)
    names = list(standin.account.media.dynamic)
    urls = [
        f"{standin.v1_url}/files/recording/dynamic/{'/'.join(name.parts)}?apikey={standin.credentials.apikey}"
        for name in names
    ]
    (home / "log.csv").write_text("".join(f"1,{url}\n" for url in urls))
    with mounted(said, home, variables) as mount:
        assert os.listdir(mount.path / "dynamic") == []
        # the log itself is the user's, and holds the key
        done = run(said, home, "catalog", "import", home / "log.csv", **variables)
        (home / "log.csv").unlink()
        assert done.stdout == f"found {len(names)}, new {len(names)}, refused 0\n", done.stderr
        before = len(standin.requests)
        listed = [f"{folder}/{name}" for folder, _folders, files in os.walk(mount.path / "dynamic") for name in files]
        assert len(listed) == len(names)
        assert len(standin.requests) == before
        path = "/cloud/1/files/recording/" + str(Path(listed[0]).relative_to(mount.path))
        assert Path(listed[0]).read_bytes() == standin.account.object_for(path).read()
