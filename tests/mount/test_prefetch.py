"""`cffs prefetch` and `cffs cache` from outside, with and without a mount."""

import json
import os
from pathlib import Path

from tests.mount.mounting import account_variables, mounted, run
from tests.mount.test_disk import audio_requests, cache_files, read_all


def stats(said, home: Path) -> dict[str, object]:
    """The row of `cffs cache stats --json` for the one account."""
    done = run(said, home, "cache", "stats", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    return row


def test_prefetch_brings_a_subtree(said, home, standin):
    """A prefetched folder reads with no request, the second prefetch brings nothing, and pins outlive a prune."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        folder = mount.path / "recordings"
        done = run(said, home, "prefetch", folder)
        assert done.returncode == 0, done.stderr
        assert "24 files here: 24 brought" in done.stderr
        standin.log.clear()
        done = run(said, home, "prefetch", folder, mount.path / "calls")
        assert "24 files here: 0 brought" in done.stderr, done.stderr
        files = sorted(path for path in folder.iterdir() if path.suffix == ".mp3")
        before = read_all(files)
        assert audio_requests(standin) == []
        done = run(said, home, "prefetch", "--pin", files[0], files[1])
        assert done.returncode == 0, done.stderr
        assert stats(said, home)["pinned_files"] == 2
        assert stats(said, home)["mountpoint"] == str(mount.path)
        done = run(said, home, "cache", "prune", "--to", "0")
        assert done.returncode == 0, done.stderr
        assert len(cache_files(home)) == 2
        assert run(said, home, "prefetch", "--unpin", files[1]).returncode == 0
        assert run(said, home, "cache", "clear").returncode == 0
        assert len(cache_files(home)) == 1
    assert stats(said, home)["pinned_files"] == 1
    with mounted(said, home, variables) as mount:
        standin.log.clear()
        assert files[0].read_bytes() == before[files[0].name]
        assert audio_requests(standin) == []


def test_prefetch_tells_what_failed(said, home, standin):
    """A file that cannot be brought is a line each, with exit 1; the rest is brought. A path elsewhere is one line."""
    with mounted(said, home, account_variables(standin)) as mount:
        files = sorted(path for path in (mount.path / "recordings").iterdir() if path.suffix == ".mp3")
        standin.faults.add("status", path=files[3].name, code=500)
        done = run(said, home, "prefetch", *files[:5])
        assert done.returncode == 1
        assert [line for line in done.stderr.splitlines() if files[3].name in line]
        assert "4 files here: 4 brought" in done.stderr
        done = run(said, home, "prefetch", home)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        done = run(said, home, "prefetch", "--newer", "1s", mount.path / "recordings")
        assert "0 files here" in done.stderr
        assert run(said, home, "prefetch", "--newer", "yesterday", files[0]).returncode == 2
    with mounted(said, home, account_variables(standin), "--cache-size", "0") as mount:
        done = run(said, home, "prefetch", files[0])
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_cache_without_a_mount(said, home, standin):
    """stats, verify, prune and clear work on the files alone; verify finds a flipped byte and changes nothing."""
    assert run(said, home, "cache", "stats").returncode == 0
    with mounted(said, home, account_variables(standin)) as mount:
        files = sorted(path for path in (mount.path / "recordings").iterdir() if path.suffix == ".mp3")[:4]
        read_all(reversed(files))  # read forwards, the next ones would be prefetched too
        assert run(said, home, "cache", "verify").returncode == 0
    assert stats(said, home)["files"] == 4
    assert stats(said, home)["mountpoint"] is None
    path = sorted(cache_files(home))[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = run(said, home, "cache", "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["damaged_blocks"] == 1
    assert path.read_bytes() == data
    assert run(said, home, "cache", "prune").returncode == 2
    os.utime(path, (1, 1))
    assert run(said, home, "cache", "prune", "--unused", "30d").returncode == 0
    assert len(cache_files(home)) == 3
    assert run(said, home, "cache", "clear").returncode == 0
    assert cache_files(home) == []


def test_what_is_only_in_memory_is_brought_to_disk(said, home, standin):
    """After the disk was cleared, files that memory and the kernel's pages still have are brought to disk, and pinned;
    the next mount reads them with the service gone."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        files = sorted(path for path in (mount.path / "recordings").iterdir() if path.suffix == ".mp3")[:3]
        before = read_all(files)
        assert run(said, home, "cache", "clear").returncode == 0
        standin.log.clear()
        done = run(said, home, "prefetch", files[0], files[1])
        assert (done.returncode, "2 files here: 2 brought" in done.stderr) == (0, True), done.stderr
        done = run(said, home, "prefetch", "--pin", files[2])
        assert (done.returncode, "1 files here, all pinned: 1 brought" in done.stderr) == (0, True), done.stderr
        assert audio_requests(standin) == []
    standin.faults.add("status", code=500)
    with mounted(said, home, variables, "--offline"):
        assert read_all(files) == before


def test_a_cache_too_small_for_all_of_it(said, home, standin):
    """A file that was brought and then evicted by later ones is reported, with exit 1; what is reported as here is."""
    with mounted(said, home, account_variables(standin), "--cache-size", "2M") as mount:
        done = run(said, home, "prefetch", mount.path / "recordings")
        assert done.returncode == 1
        assert "no room" in done.stderr
        told = int(done.stderr.partition(" files here")[0].split()[-1])
        assert 0 < told <= len(cache_files(home)) < 24


def test_the_socket_is_found_through_the_mount(said, home, standin):
    """From cron, where no variable names a folder, and through a symbolic link, commands find the mount whose cache
    lies elsewhere."""
    variables = account_variables(standin)
    (home / "link").symlink_to(home / "mnt")
    with mounted(said, home, variables, "--cache-dir", str(home / "elsewhere")) as mount:
        link = home / "link/recordings"
        name = min(name for name in os.listdir(link) if name.endswith(".mp3"))
        bare = {"XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", "HOME": str(home / "nowhere")}
        for command in ("prefetch", "why"):
            for path in (link / name, home / "link/../link/recordings" / name, mount.path / "recordings" / name):
                done = run(said, home, command, path, **bare)
                assert done.returncode == 0, done.stderr
        done = run(said, home, "status", "--json", home / "link", **bare)
        assert json.loads(done.stdout)["pid"] == mount.pid
