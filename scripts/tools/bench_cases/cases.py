"""The rows of the table: what is read, by which program, from where.

It owns how things are read, each case from a fresh mount. It must not know what the figures must reach. The cases run
in rounds, so that some seconds of noise meet one sample of each program and not all of one.
"""

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench_cases.files import MIB, SETS
from bench_cases.programs import Cffs, Httpdirfs, JuiceFs, Mounted, Rclone
from bench_cases.samples import Sample, measuring
from bench_cases.site import FAR, FAR_TLS, NEAR, NEAR_TLS, SLOW, Place, Site

KIB = 1024
DECODED_FILES = 60
#: rclone has one connection, which is enough to show its speed.
SLOW_NBYTES_OF_ONE = 24 * MIB
RANDOM_READS = {NEAR: 800, FAR: 120}
CURL_PARALLEL = 8
#: How many programs read unlisted files at a time.
PROGRAMS_AT_ONCE = 16
SEEKS = 60
RUN_SECONDS = 300

#: Rounds from the disk, one after another: equal work takes 0.14 or 0.56 s, and mostly a first pass is slow. Memory
#: that a virtual machine never used, or gave back to its host, costs 12 us a page to touch instead of 2 (measured), and
#: the file's two page caches need it.
DISK_PASSES = 3

MOUNTS: dict[str, Any] = {
    "cffs": Cffs(),
    "cffs as root": Cffs(wide=True),
    "cffs, stock wire": Cffs(wire="stock"),
    "cffs, disk cache": Cffs(keeps=True),
    "rclone off": Rclone("off"),
    "rclone full": Rclone("full"),
    "newest rclone off": Rclone("off", newest=True),
    "newest rclone full": Rclone("full", newest=True),
    "newest rclone tuned": Rclone("off", newest=True, tuned=True),
    "JuiceFS": JuiceFs(),
    "httpdirfs": Httpdirfs(),
}

Measure = Callable[[Site], Iterator[Sample]]


@dataclass(frozen=True, slots=True)
class Case:
    """One program in one row, or in rows that follow from one another; it runs at most `rounds` times."""

    row: str
    program: str
    measure: Measure
    rounds: int = 5
    is_quick: bool = True


def cases() -> list[Case]:
    """All cases, in the order of one round."""
    found: list[Case] = []

    def add(row: str, programs: Iterable[str], measure: Callable[..., Iterator[Sample]], **how: Any) -> None:
        for program in programs:
            found.append(Case(row, program, partial(measure, row, program), **how))

    streaming = ("cffs", "cffs as root", "cffs, stock wire", "rclone off")
    newest = ("newest rclone off", "newest rclone tuned", "JuiceFS")
    sized = ("rclone off", "newest rclone off", "newest rclone full", "JuiceFS")
    peers = (*sized, "newest rclone tuned")  # which knows no sizes, and so no ends
    add("stream 0 ms", streaming, partial(_stream, NEAR))
    add("stream 0 ms", newest, partial(_stream, NEAR), rounds=3)
    add("stream 0 ms", ["curl"], partial(_fetch, NEAR))
    add("stream 0 ms", ["httpdirfs"], partial(_stream, NEAR, set_name="short"), rounds=3)
    add("disk cache written", ["cffs, disk cache", "rclone full"], _kept)
    add("disk cache written", ["newest rclone full"], _kept, rounds=3)
    add("disk cache written", ["local"], _kept_locally)
    add("stream 50 ms", (*streaming, "rclone full"), partial(_stream, FAR))
    add("stream 50 ms", newest, partial(_stream, FAR), rounds=3)
    add("stream 50 ms", ["curl"], partial(_fetch, FAR))
    add("slow link", ["cffs"], partial(_stream, SLOW), rounds=3)
    add("slow link", ["rclone off"], partial(_stream, SLOW, nbytes=SLOW_NBYTES_OF_ONE), rounds=3)
    for row, place in (("TLS 0 ms", NEAR_TLS), ("TLS 50 ms", FAR_TLS)):
        add(row, ("cffs", "cffs, stock wire", "rclone off"), partial(_stream, place))
        add(row, ["curl"], partial(_fetch, place))
    add("first 64 KiB, 50 ms", ["cffs", "rclone off"], _first)
    add("first 64 KiB, 50 ms", newest, _first, rounds=3)
    add("unlisted: first 64 KiB, 50 ms", ("cffs", *peers, "httpdirfs"), partial(_unlisted, is_nested=False))
    add("unlisted, nested: first 64 KiB, 50 ms", ("cffs", *peers, "httpdirfs"), partial(_unlisted, is_nested=True))
    row = "unlisted: 200 files by 16 programs, 50 ms"
    add(row, ("cffs", *peers), _by_sixteen, rounds=3)
    add(row, ["httpdirfs"], _by_sixteen, rounds=1, is_quick=False)
    add(row, ["curl -Z 16"], _fetch_by_sixteen, rounds=3)
    add("60 random 16 KiB in 5 MB, 50 ms", ("cffs", *sized, "rclone full", "httpdirfs"), _seek, rounds=3)
    add("head and tail, 50 ms", ("cffs", *sized), _head_and_tail, rounds=3)
    add("head and tail, 50 ms", ["httpdirfs"], _head_and_tail, rounds=1, is_quick=False)
    for threads, place, name in ((1, NEAR, "0 ms"), (4, NEAR, "0 ms"), (4, FAR, "50 ms")):
        row = f"random 64 KiB, {name}, {threads} thread{'s' * (threads > 1)}"
        add(row, ["cffs", "rclone off"], partial(_random, place, threads))
        add(row, ["newest rclone off", "JuiceFS"], partial(_random, place, threads), rounds=3)
    add("random 64 KiB, 50 ms, 4 threads", ["rclone full"], partial(_random, FAR, 4), rounds=3, is_quick=False)
    add("cp -r 200 files, 50 ms", ["cffs"], _copy)
    add("cp -r 200 files, 50 ms", ["curl -Z 8"], _copy_by_curl)
    add("cp -r 200 files, 50 ms", ["rclone off"], _copy, rounds=3)
    add("cp -r 200 files, 50 ms", newest, _copy, rounds=1, is_quick=False)
    add("cp -r 200 files, 50 ms", ["httpdirfs"], _copy, rounds=1, is_quick=False)
    add("ls -l 10,000", ["cffs"], _list)
    add("ffmpeg, 60 files, 50 ms", ["local"], _decode_local, rounds=3)
    add("ffmpeg, 60 files, 50 ms", ["cffs", "rclone off", "newest rclone tuned", "JuiceFS"], _decode, rounds=3)
    return found


def _stream(
    place: Place, row: str, program: str, site: Site, *, set_name: str = "big", nbytes: int | None = None
) -> Iterator[Sample]:
    """A cold file from its beginning, by dd, its folder listed."""
    sample, position = Sample(row, program), 0
    with MOUNTS[program].mounted(site, place, set_name) as mount:
        [name] = _listed(mount)
        position = site.log_position()
        _dd(mount.folder / name, sample, site, mount, nbytes or SETS[set_name].most_nbytes)
        if nbytes is None:
            _compare(mount.folder / name, site, set_name)
    if nbytes is not None:  # a request that is still running is noted when it is given up
        sample.requests, sample.sent_nbytes = site.answered_since(position)
    yield sample


def _fetch(place: Place, row: str, program: str, site: Site) -> Iterator[Sample]:
    """A cold file by curl, into nothing."""
    [name] = site.names("big")
    with measuring(Sample(row, program, nbytes=SETS["big"].most_nbytes), site) as sample:
        _run("curl", "-sS", "--cacert", site.ca_bundle, "-o", "/dev/null", site.plain_url(place, "big") + name)
    yield sample


def _kept(row: str, program: str, site: Site) -> Iterator[Sample]:
    """A cold file while it is written to the disk cache, once more, and from the disk alone."""
    with MOUNTS[program].mounted(site, NEAR, "big") as mount:
        [name] = _listed(mount)
        path, nbytes = mount.folder / name, SETS["big"].most_nbytes
        yield _dd(path, Sample(row, program), site, mount, nbytes)
        yield _dd(path, Sample("second read", program), site, mount, nbytes)
        _compare(path, site, "big")
        for _ in range(DISK_PASSES):
            _evict(path)
            for kept in mount.cache.rglob("*"):
                if kept.is_file():
                    _evict(kept)
            yield _dd(path, Sample("from disk cache", program), site, mount, nbytes)


def _kept_locally(row: str, program: str, site: Site) -> Iterator[Sample]:
    """A file of this machine, as the floor of the two rows that follow `row`: what the kernel and the disk need."""
    [name] = site.names("big")
    path, nbytes = site.folder / "local", SETS["big"].most_nbytes
    try:
        _run("cp", site.folder / "plain/big" / name, path)
        yield _dd(path, Sample("second read", program), site, None, nbytes)
        for _ in range(DISK_PASSES):
            _evict(path)
            yield _dd(path, Sample("from disk cache", program), site, None, nbytes)
    finally:
        path.unlink(missing_ok=True)


def _first(row: str, program: str, site: Site) -> Iterator[Sample]:
    """The median of the first 64 KiB of files that are not read in order."""
    with MOUNTS[program].mounted(site, FAR, "probed") as mount:
        names = _listed(mount)
        random.Random(4).shuffle(names)
        found: list[float] = []
        with measuring(Sample(row, program, nbytes=64 * KIB), site, mount) as sample:
            for name in names:
                began = time.perf_counter()
                with (mount.folder / name).open("rb", buffering=0) as file:
                    received = file.read(64 * KIB)
                found.append(time.perf_counter() - began)
                _require(len(received) == 64 * KIB, "a short read")
        yield _a_file(sample, found)


def _unlisted(row: str, program: str, site: Site, *, is_nested: bool) -> Iterator[Sample]:
    """The first 64 KiB of a file by its path, in a mount where nothing was listed or looked up."""
    names = site.nested_names("probed") if is_nested else site.names("probed")
    with (
        MOUNTS[program].mounted(site, FAR, "probed", is_nested=is_nested) as mount,
        measuring(Sample(row, program, nbytes=64 * KIB), site, mount) as sample,
        (mount.folder / names[len(names) // 2]).open("rb", buffering=0) as file,
    ):
        _require(len(file.read(64 * KIB)) == 64 * KIB, "a short read")
    yield sample


def _by_sixteen(row: str, program: str, site: Site) -> Iterator[Sample]:
    """Unlisted files, each read by a program of its own, sixteen at a time."""
    with MOUNTS[program].mounted(site, FAR, "small") as mount:
        paths = "\n".join(str(mount.folder / name) for name in site.names("small"))
        command = f"/usr/bin/xargs -P {PROGRAMS_AT_ONCE} -n 1 /usr/bin/cat | /usr/bin/wc -c"
        with measuring(Sample(row, program, nbytes=_total(site, "small")), site, mount) as sample:
            output = _run("/bin/sh", "-c", command, stdin=paths)
        _require(int(output) == sample.nbytes, "not all was read")
        yield sample


def _fetch_by_sixteen(row: str, program: str, site: Site) -> Iterator[Sample]:
    """Those files by one curl with sixteen transfers at a time, into nothing."""
    urls = [part for name in site.names("small") for part in ("-o", "/dev/null", site.plain_url(FAR, "small") + name)]
    with measuring(Sample(row, program, nbytes=_total(site, "small")), site) as sample:
        _run("curl", "-sS", "-Z", "--parallel-max", PROGRAMS_AT_ONCE, *urls)
    yield sample


def _seek(row: str, program: str, site: Site) -> Iterator[Sample]:
    """A listed recording of some minutes, read here and there as seeking players and editors do."""
    with MOUNTS[program].mounted(site, FAR, "recording") as mount:
        [name] = _listed(mount)
        dice, most_nbytes = random.Random(8), SETS["recording"].most_nbytes
        fd = os.open(mount.folder / name, os.O_RDONLY)
        try:
            with measuring(Sample(row, program, nbytes=SEEKS * 16 * KIB), site, mount) as sample:
                read = [len(os.pread(fd, 16 * KIB, dice.randrange(most_nbytes - 16 * KIB))) for _ in range(SEEKS)]
        finally:
            os.close(fd)
        _require(read == [16 * KIB] * SEEKS, "a short read")
        _compare(mount.folder / name, site, "recording")
        yield sample


def _head_and_tail(row: str, program: str, site: Site) -> Iterator[Sample]:
    """The median of the first 64 KiB and the last 4 KiB of listed files, as programs that look for tags do."""
    with MOUNTS[program].mounted(site, FAR, "probed") as mount:
        names = _listed(mount)
        random.Random(5).shuffle(names)
        found: list[float] = []
        with measuring(Sample(row, program, nbytes=68 * KIB), site, mount) as sample:
            for name in names:
                began = time.perf_counter()
                with (mount.folder / name).open("rb", buffering=0) as file:
                    received = len(file.read(64 * KIB))
                    file.seek(-4 * KIB, os.SEEK_END)
                    received += len(file.read(4 * KIB))
                found.append(time.perf_counter() - began)
                _require(received == 68 * KIB, "a short read")
        yield _a_file(sample, found)


def _a_file(sample: Sample, found: list[float]) -> Sample:
    """The time and cost of one of many files."""
    sample.seconds = sorted(found)[len(found) // 2]
    sample.requests /= len(found)
    sample.sent_nbytes //= len(found)
    return sample


def _random(place: Place, threads: int, row: str, program: str, site: Site) -> Iterator[Sample]:
    """Unaligned reads all over a cold file, no page twice, in equal order for each program."""
    with MOUNTS[program].mounted(site, place, "big") as mount:
        [name] = _listed(mount)
        dice, reads = random.Random(threads), RANDOM_READS[place]
        slots = dice.sample(range(SETS["big"].most_nbytes // (128 * KIB)), reads)
        offsets = [slot * 128 * KIB + dice.randrange(48 * KIB) for slot in slots]
        fd = os.open(mount.folder / name, os.O_RDONLY)
        short: list[int] = []

        def read(own: list[int]) -> None:
            short.extend(offset for offset in own if len(os.pread(fd, 64 * KIB, offset)) != 64 * KIB)

        try:
            tasks = [threading.Thread(target=read, args=(offsets[n::threads],)) for n in range(threads)]
            with measuring(Sample(row, program, nbytes=64 * KIB * reads), site, mount) as sample:
                for task in tasks:
                    task.start()
                for task in tasks:
                    task.join()
        finally:
            os.close(fd)
        _require(not short, "a short read")
        yield sample


def _copy(row: str, program: str, site: Site) -> Iterator[Sample]:
    """`cp -r` of a listed folder of small files."""
    with MOUNTS[program].mounted(site, FAR, "small") as mount:
        _listed(mount)
        target = mount.cache.parent / "copy"
        with measuring(Sample(row, program, nbytes=_total(site, "small")), site, mount) as sample:
            _run("cp", "-r", mount.folder, target)
        for name in site.names("small"):
            _run("cmp", target / name, site.folder / "plain/small" / name)
        yield sample


def _copy_by_curl(row: str, program: str, site: Site) -> Iterator[Sample]:
    """Those files by one curl with eight transfers at a time."""
    target = site.folder / "fetched"
    urls = [site.plain_url(FAR, "small") + name for name in site.names("small")]
    with measuring(Sample(row, program, nbytes=_total(site, "small")), site) as sample:
        _run("curl", "-sS", "-Z", "--parallel-max", CURL_PARALLEL, "--create-dirs", "--output-dir", target,
             "--remote-name-all", *urls)  # fmt: skip
    _run("rm", "-r", target)
    yield sample


def _list(row: str, program: str, site: Site) -> Iterator[Sample]:
    """`ls -l` of a campaign with ten thousand calls: cold, and again."""
    with MOUNTS[program].mounted(site, NEAR, "many") as mount:
        for which in (row, "ls -l 10,000, again"):
            with measuring(Sample(which, program), site, mount) as sample:
                output = _run("ls", "-l", mount.folder / site.campaign("many"))
            _require(output.count("\n") >= SETS["many"].count, "ls does not list all")
            yield sample


def _decode_local(row: str, program: str, site: Site) -> Iterator[Sample]:
    """ffmpeg over files of this machine, one after another."""
    names = site.names("small")[:DECODED_FILES]
    with measuring(Sample(row, program), site) as sample:
        _ffmpeg([site.folder / "plain/small" / name for name in names])
    yield sample


def _decode(row: str, program: str, site: Site) -> Iterator[Sample]:
    """ffmpeg over those files in a mount, its folder listed."""
    with MOUNTS[program].mounted(site, FAR, "small") as mount:
        names = _listed(mount)[:DECODED_FILES]
        with measuring(Sample(row, program), site, mount) as sample:
            _ffmpeg([mount.folder / name for name in names])
        yield sample


def _ffmpeg(paths: list[Path]) -> None:
    for path in paths:
        _run("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-f", "null", "-")


def _listed(mount: Mounted) -> list[str]:
    """The folder's audio in the order of the names, its attributes looked at too, as `ls -l` and file managers do."""
    with os.scandir(mount.folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(".mp3") and entry.stat())


def _dd(path: Path, sample: Sample, site: Site, mount: Mounted | None, nbytes: int) -> Sample:
    sample.nbytes = nbytes
    with measuring(sample, site, mount):
        _run("dd", f"if={path}", "of=/dev/null", "bs=1M", f"count={nbytes // MIB}", "status=none")
    return sample


def _compare(path: Path, site: Site, set_name: str) -> None:
    """Check that the bytes were right, mostly from the page cache, and never within a measured time."""
    _run("cmp", path, site.folder / "plain" / set_name / path.name)


def _evict(path: Path) -> None:
    """Make the kernel forget a file's pages, and those of no other file on this machine."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _total(site: Site, set_name: str) -> int:
    return sum((site.folder / "plain" / set_name / name).stat().st_size for name in site.names(set_name))


def _run(*command: object, stdin: str = "") -> str:
    parts = [str(part) for part in command]
    done = subprocess.run(parts, input=stdin, capture_output=True, text=True, timeout=RUN_SECONDS)
    _require(done.returncode == 0, f"{command[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _require(is_true: bool, otherwise: str) -> None:
    if not is_true:
        raise RuntimeError(otherwise)
