"""The file system: its tree, its bytes and its errors are those of a mount."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import fsspec
import pytest

from cffs.fsspec_plugin.filesystem import CallFireFileSystem
from cffs.standin.account import Account
from cffs.standin.growing_call import GrowingCall
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES
from tests.fsspec_plugin.conftest import bodies, true_bytes

# -- names --


def test_protocol_is_found_by_its_entry_point(options, recordings, standin):
    """`fsspec.open` of a URL needs no import of cffs."""
    with fsspec.open(f"callfire://recordings/{recordings[0]}.mp3", **options) as file:
        assert file.read() == true_bytes(standin, recordings[0])


def test_root_lists_what_a_mount_lists(fs):
    """The root has the folders of both APIs, with any spelling of its path."""
    names = ["README.txt", "campaigns", "calls", "recordings", "dynamic", "media", "me", "by-date", "by-number"]
    for root in ("", "/", "callfire://", "callfire:///"):
        assert fs.ls(root, detail=False) == [*names, "by-label"]
        assert fs.isdir(root)


def test_listing_is_complete_and_ordered(fs, recordings):
    """A first listing is waited for to its end, and its sizes are those that the service lists."""
    listed = fs.ls("callfire://recordings/")
    assert [one["name"] for one in listed] == [f"recordings/{one}.mp3" for one in sorted(recordings)]
    assert {one["type"] for one in listed} == {"file"}
    assert all(one["size"] > 0 for one in listed)
    assert fs.ls("recordings", detail=False) == [one["name"] for one in listed]
    assert fs.ls(listed[0]["name"]) == [listed[0]]


def test_info_states_the_exact_size_without_a_listing(fs, recordings, standin):
    """A recording that no listing has shown opens by its id; its size is asked for, and its bytes come with that."""
    info = fs.info(f"recordings/{recordings[3]}.wav")
    assert info["size"] == len(true_bytes(standin, recordings[3], "wav")) == fs.size(info["name"])
    assert fs.cat_file(info["name"]) == true_bytes(standin, recordings[3], "wav")
    ranges = sorted(request.range for request in standin.requests if request.path.endswith(f"/{recordings[3]}"))
    assert ranges == ["bytes=0-524287", f"bytes=524288-{info['size'] - 1}"]


def test_times_are_of_the_recording(fs, recordings, standin):
    """`created` and `mtime` are when the service made the recording, and differ by process in nothing."""
    fs.ls("recordings")
    path, row = f"recordings/{recordings[0]}.mp3", standin.account.recording_row(recordings[0])
    assert fs.info(path)["created"] == fs.info(path)["mtime"] == pytest.approx(row["created"] / 1000)
    assert fs.modified(path) == fs.created(path) == datetime.fromtimestamp(fs.info(path)["mtime"], UTC)
    assert fs.info("recordings")["type"] == "directory"


def test_paths_of_every_kind(fs, recordings, standin):
    """Indexes, playlists, searches, clips, documents and folders by id open as they do on a mount."""
    one = recordings[0]
    whole = true_bytes(standin, one, "wav")
    with fs.open(f"recordings/{one}@1-2.wav") as clip:
        assert clip.size == len(clip.read()) < len(whole)
    index = fs.cat_file("recordings/index.csv").decode()
    assert index.count("\n") == 1 + len(recordings)
    assert f"callfire://recordings/{one}.mp3" in index
    found = fs.ls("search/order=newest&limit=3", detail=False)
    assert len([name for name in found if name.endswith(".mp3")]) == 3
    assert fs.cat_file("recordings/playlist.m3u8").startswith(b"#EXTM3U")
    assert fs.size(f"recordings/{one}.json") == len(fs.cat_file(f"recordings/{one}.json")) > 0
    assert fs.info("README.txt")["size"] == len(fs.cat_file("README.txt"))
    call = standin.account.call_ids()[0]
    assert fs.isdir(f"calls/{call}")
    name = next(iter(standin.account.media.dynamic))
    folder = f"dynamic/{name.hash_code}/{name.year}/{name.month}/{name.campaign}"
    assert fs.size(f"{folder}/{name.filename}") == len(fs.cat_file(f"{folder}/{name.filename}")) > 0
    assert fs.find("dynamic") == [f"{folder}/{name.filename}"]


def test_find_walk_and_glob(fs, recordings):
    """What fsspec builds on listings finds what is there; a pattern costs no request for sizes."""
    paths = sorted(f"recordings/{one}.mp3" for one in recordings)
    assert fs.glob("recordings/*.mp3") == fs.find("recordings") == paths
    assert [files for _folder, _folders, files in fs.walk("recordings")] == [[path.split("/")[1] for path in paths]]
    assert fs.glob("callfire://by-date/*/*/*/*.mp3")
    assert fs.find("no-such-folder") == fs.glob("no-such-folder/*") == []
    assert fs.du("recordings") > 0


@pytest.mark.parametrize(
    "path",
    [
        "recordings/99999999999999.mp3",
        "recordings/%38%38.wav",
        "recordings/[1].wav",
        "recordings/é\udce9.wav",
        "recordings/..",
        "recordings/" + "x" * 255,
        "no/such/thing",
        ".cffs",
        ".cffs/status.json",
        "recordings/\n.wav",
        "search/number=",
    ],
)
def test_names_that_do_not_exist(fs, path):
    """A name that is not there is FileNotFoundError, however hostile, and nothing of it is decoded or resolved."""
    for ask in (fs.info, fs.ls, fs.open, fs.cat_file):
        with pytest.raises(FileNotFoundError) as raised:
            ask(path)
        assert (raised.value.errno, raised.value.filename) == (errno.ENOENT, path)
    assert not fs.exists(path)
    assert not fs.isfile(path)
    assert not fs.isdir(path)


def test_hostile_names_of_the_service_open_as_they_are_listed(fs, standin):
    """Percent signs, brackets, umlauts, quotes: a listed path is what opens, and what `find` returns."""
    listed = [one["name"] for one in fs.ls("media/by-name") if one["type"] == "file"]
    assert any(mark in name for name in listed for mark in "%[é")
    assert fs.find("media/by-name", maxdepth=1) == sorted(listed)
    for name in listed:
        assert len(fs.cat_file(f"callfire://{name}")) == fs.size(name) > 0


def test_file_as_folder_and_folder_as_file(fs):
    """These have errors of their own."""
    with pytest.raises(NotADirectoryError):
        fs.info("README.txt/x")
    assert not fs.exists("README.txt/x")
    for ask in (fs.open, fs.cat_file):
        with pytest.raises(IsADirectoryError):
            ask("recordings")
    with pytest.raises(OSError) as raised:
        fs.info("recordings/" + "x" * 256)
    assert raised.value.errno == errno.ENAMETOOLONG


# -- bytes --


def test_slices(fs, recordings, standin):
    """Starts and ends are those of a Python slice."""
    path, whole = f"recordings/{recordings[0]}.mp3", true_bytes(standin, recordings[0])
    for start, end in ((None, None), (0, 10), (5, None), (-7, None), (None, -1), (-9, -4), (10**9, None), (4, 2)):
        assert fs.cat_file(path, start, end) == whole[start:end]
    assert fs.head(path, 3) == whole[:3]
    assert fs.tail(path, 3) == whole[-3:]
    assert fs.read_block(path, 100, 50) == whole[100:150]


def test_many_ranges_at_once(fs, recordings, standin):
    """`cat_ranges` and `cat` answer in the order of the question, and report what failed where it failed."""
    paths = [f"callfire://recordings/{one}.mp3" for one in recordings[:6]]
    wanted = [true_bytes(standin, one)[3:9] for one in recordings[:6]]
    assert fs.cat_ranges(paths, 3, 9) == wanted
    assert fs.cat_ranges(paths, [3] * 6, [9] * 6, on_error="raise") == wanted
    found = fs.cat_ranges([paths[0], "recordings/1.mp3"], [3, 3], [9, 9])
    assert found[0] == wanted[0]
    assert isinstance(found[1], FileNotFoundError)
    assert found[1].filename == "recordings/1.mp3"
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([paths[0], "recordings/1.mp3"], 3, 9, on_error="raise")
    with pytest.raises(ValueError, match="lengths"):
        fs.cat_ranges(paths, [1], [2])
    several = fs.cat(paths[:2])
    assert several == {fs._strip_protocol(path): true_bytes(standin, recordings[i]) for i, path in enumerate(paths[:2])}
    assert fs.cat(["recordings/1.mp3", paths[0]], on_error="omit").keys() == {fs._strip_protocol(paths[0])}
    with pytest.raises(FileNotFoundError):
        fs.cat(["recordings/1.mp3", paths[0]])
    assert fs.cat(paths[0]) == true_bytes(standin, recordings[0])


def test_get(fs, recordings, standin, tmp_path):
    """A file, and a whole folder, are copied byte by byte."""
    one = recordings[0]
    fs.get(f"recordings/{one}.wav", str(tmp_path / "one.wav"))
    assert (tmp_path / "one.wav").read_bytes() == true_bytes(standin, one, "wav")
    fs.get("recordings", str(tmp_path / "all"), recursive=True)
    copied = {path.name: path.read_bytes() for path in (tmp_path / "all").rglob("*.mp3")}
    assert copied == {f"{one}.mp3": true_bytes(standin, one) for one in recordings}


def test_threads_share_one_fetch(options, recordings, standin):
    """Sixteen threads that read one file, each with an instance of its own, cost one request."""
    path, whole, at_once = f"recordings/{recordings[1]}.mp3", true_bytes(standin, recordings[1]), threading.Barrier(16)
    standin.link.latency_seconds = 0.05

    def read(_number: int) -> bytes:
        at_once.wait()
        return CallFireFileSystem(**options).cat_file(path)

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(read, range(16))) == [whole] * 16
    assert bodies(standin, recordings[1]) == 1


def test_recording_in_progress(options):
    """What there is of it now can be read; its size is that of the open."""
    account = Account(seed=5, calls=12)
    live = GrowingCall(account, account.call_ids()[0], seconds=3600.0)
    with StandinThread(account, credentials=CANARIES) as running:
        fs = CallFireFileSystem(**options | {"v1_url": running.v1_url, "v2_url": running.v2_url})
        with fs.open(f"recordings/{live.id}.mp3") as file:
            assert len(file.read()) == file.size
        assert fs.info(f"recordings/{live.id}.mp3")["type"] == "file"


@pytest.mark.parametrize("fault", [{"send_length": False}, {"honour_ranges": False}])
def test_size_is_exact_whatever_the_origin_says(options, fault):
    """Where the origin gives no total, the file is read to its end first."""
    from cffs.standin.answers import Options

    account = Account(seed=11, calls=4)
    recording = account.recording_ids(account.call_ids()[0])[0]
    with StandinThread(account, options=Options(**fault), credentials=CANARIES) as running:
        fs = CallFireFileSystem(**options | {"v1_url": running.v1_url, "v2_url": running.v2_url})
        with fs.open(f"recordings/{recording}.wav") as file:
            assert file.size == len(true_bytes(running, recording, "wav"))
            assert file.read() == true_bytes(running, recording, "wav")
        assert fs.size(f"recordings/{recording}.wav") == len(true_bytes(running, recording, "wav"))


def test_sizes_are_exact_where_the_listing_is_wrong(fs, recordings, standin):
    """A program that cuts a file into blocks by `info` gets all of it; a listing shows what the service lists."""
    one, whole = recordings[0], true_bytes(standin, recordings[0])
    standin.account.set_recording(one, lengthInBytes=len(whole) - 1000)
    path = f"recordings/{one}.mp3"
    assert {info["name"]: info["size"] for info in fs.ls("recordings")}[path] == len(whole) - 1000
    assert fs.du("recordings", total=False)[path] == len(whole) - 1000
    assert fs.info(path)["size"] == fs.size(path) == len(whole)
    assert b"".join(fs.read_block(path, start, 50_000) for start in range(0, fs.size(path), 50_000)) == whole
    assert {info["name"]: info["size"] for info in fs.ls("recordings")}[path] == len(whole)
    assert bodies(standin, one) == 1


def test_checksum_follows_the_version(fs, recordings, standin):
    """`checksum` and `ukey` are equal for one version, whatever is known of it, and differ for the next."""
    path = f"recordings/{recordings[0]}.mp3"
    before = fs.ukey(path)
    fs.ls("recordings")
    fs.cat_file(path)
    assert fs.ukey(path) == before
    assert fs.checksum(path) == int(before, 16)
    assert fs.ukey(f"recordings/{recordings[1]}.mp3") != before
    assert fs.ukey("recordings") != fs.ukey("README.txt")


# -- errors --


def test_writing_is_refused(fs, recordings, tmp_path):
    """Every call that would change something raises PermissionError, and asks the service nothing."""
    path, here = f"recordings/{recordings[0]}.mp3", tmp_path / "x"
    here.write_bytes(b"x")
    refused = [
        *(lambda mode=mode: fs.open(path, mode) for mode in ("wb", "ab", "xb", "r+b", "w")),
        lambda: fs.mkdir("new"),
        lambda: fs.makedirs("new", exist_ok=True),
        lambda: fs.rmdir("recordings"),
        lambda: fs.rm(path),
        lambda: fs.rm("recordings", recursive=True),
        lambda: fs.rm_file(path),
        lambda: fs.touch(path),
        lambda: fs.mv(path, "other"),
        lambda: fs.copy(path, "other"),
        lambda: fs.cp_file(path, "other"),
        lambda: fs.pipe(path, b""),
        lambda: fs.pipe_file(path, b""),
        lambda: fs.put(str(here), path),
        lambda: fs.put_file(str(here), path),
        lambda: fs.write_text(path, ""),
        lambda: fs.write_bytes(path, b""),
        lambda: fs.upload(str(here), path),
        lambda: fs.delete(path),
        lambda: fs.rename(path, "other"),
        lambda: fs.mkdirs("new"),
    ]
    for refuse in refused:
        with pytest.raises(PermissionError) as raised:
            refuse()
        assert raised.value.errno == errno.EROFS


@pytest.mark.parametrize(
    ("code", "kind", "number"),
    [(404, FileNotFoundError, errno.ENOENT), (403, PermissionError, errno.EACCES), (500, OSError, errno.EIO)],
)
def test_statuses_are_errors_of_python(fs, recordings, standin, code, kind, number):
    """Each answer of the service has the errno that a mount gives."""
    standin.faults.add("status", path=rf"{recordings[0]}\.mp3$", code=code)
    with pytest.raises(kind) as raised:
        fs.cat_file(f"recordings/{recordings[0]}.mp3")
    assert raised.value.errno == number


def test_timeout_is_timeout_error(options, recordings, standin):
    """A service that does not answer is TimeoutError, within the timeout; it is no proof that nothing is there."""
    fs = CallFireFileSystem(**options, timeout=0.5)
    standin.link.latency_seconds = 30.0
    for ask in (fs.cat_file, fs.info, fs.exists, fs.isfile):
        with pytest.raises(TimeoutError):
            ask(f"recordings/{recordings[0]}.mp3")
    with pytest.raises(TimeoutError):
        fs.find("recordings")
    standin.link.latency_seconds = 0.0


def test_unreachable_service(options):
    """No connection is OSError, and never an empty listing."""
    fs = CallFireFileSystem(**options | {"v1_url": "http://127.0.0.1:9/cloud/1", "v2_url": "http://127.0.0.1:9/v2"})
    for ask in (fs.find, fs.ls, fs.glob):
        with pytest.raises(OSError) as raised:
            ask("recordings/*" if ask == fs.glob else "recordings")
        assert raised.value.errno == errno.EHOSTUNREACH


def test_refused_credentials(options, monkeypatch, recordings):
    """Wrong credentials are PermissionError, and no message shows them."""
    monkeypatch.setenv("CFFS_PASSWORD", "CANARYWRONG")
    monkeypatch.setenv("CFFS_APIKEY", "CANARYWRONGKEY")
    fs = CallFireFileSystem(**options, dir_ttl=7)
    with pytest.raises(PermissionError) as raised:
        fs.cat_file(f"recordings/{recordings[0]}.mp3")
    assert raised.value.errno == errno.EACCES
    assert "CANARY" not in str(raised.value)


def test_rotated_credentials_are_found(options, monkeypatch):
    """A process that lives long reads on after its password was changed, at the service and in its environment."""
    account = Account(seed=11, calls=4)
    first, second = (f"recordings/{account.recording_ids(call)[0]}.mp3" for call in account.call_ids()[:2])
    with StandinThread(account, credentials=CANARIES) as before:
        port = int(before.base_url.rpartition(":")[2])
        fs = CallFireFileSystem(**options | {"v1_url": before.v1_url, "v2_url": before.v2_url})
        assert fs.cat_file(first)
    with StandinThread(account, port=port, credentials=replace(CANARIES, password="CANARYROTATED")):
        monkeypatch.setenv("CFFS_PASSWORD", "CANARYROTATED")
        assert fs.cat_file(second)


def test_blocks_are_kept_on_disk_where_asked_for(options, recordings, standin):
    """`cache_size` keeps what memory cannot: nothing is fetched twice."""
    fs = CallFireFileSystem(**options, cache_size="64M", memory_size="2M")
    paths = [f"recordings/{one}.wav" for one in recordings]
    assert sum(fs.size(path) for path in paths) > 4 * 2**20
    digests = [sha256(fs.cat_file(path)).digest() for path in paths]
    before = len(standin.requests)
    assert [sha256(fs.cat_file(path)).digest() for path in paths] == digests
    assert len(standin.requests) == before


def test_replaced_object_is_read_whole(options, recordings, standin):
    """`cat_file` after a replacement gives the new bytes, all of one version, and another `ukey`; a file that was open
    is stale, as on a mount."""
    fs = CallFireFileSystem(**options, memory_size="2M", timeout=11)
    path = f"recordings/{recordings[0]}.wav"
    old, before = true_bytes(standin, recordings[0], "wav"), fs.ukey(path)
    file = fs.open(path)
    for one in recordings:  # what memory has of it is evicted
        fs.cat_file(f"recordings/{one}.wav")
    file.seek(len(old) // 2)
    assert file.read(1000) == old[len(old) // 2 :][:1000]
    for one in recordings:
        fs.cat_file(f"recordings/{one}.wav")
    standin.account.versions.replace(f"recording/{recordings[0]}")
    assert fs.cat_file(path) == true_bytes(standin, recordings[0], "wav") != old
    assert fs.ukey(path) != before
    with pytest.raises(OSError) as raised:
        file.seek(0), file.read()
    assert raised.value.errno == errno.ESTALE
    assert fs.open(path).read() == true_bytes(standin, recordings[0], "wav")


def test_instances_are_shared_and_pickle_as_their_options(fs, options):
    """Equal options give one instance in a thread; a pickle holds the options and no credential."""
    assert CallFireFileSystem(**options) is fs
    assert CallFireFileSystem(**options, timeout=5) is not fs
    make, arguments = fs.__reduce__()
    assert arguments == (CallFireFileSystem, (), options)
    assert make(*arguments) is fs
    assert "CANARY" not in fs.to_json()
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()) is fs
