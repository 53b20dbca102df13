# ruff: noqa: T201  # a script prints
"""Wall-clock figures of this machine, beside those of other mounts.

It owns the command line and the order of rounds; `bench_cases/` owns the rest. The figures go into
cffs/docs/performance.md; they gate nothing.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench_cases.cases import Case
    from bench_cases.samples import Samples
    from bench_cases.site import Site

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "cffs/docs"
FRONT = ROOT / "README.md"
REPORT, PICTURE = DOCUMENTS / "performance.md", DOCUMENTS / "measured.svg"
KEPT = ROOT / "scripts/tools/bench_cases/measured.json"
LATEST = ROOT / ".bench.json"
ROUNDS = 5
SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Debian package -> what of it is used.
PACKAGES = {
    "curl": "/usr/bin/curl",
    "ffmpeg": "/usr/bin/ffmpeg",
    "fuse3": "/usr/bin/fusermount3",
    "httpdirfs": "/usr/bin/httpdirfs",
    "libnginx-mod-http-lua": "/usr/lib/nginx/modules/ngx_http_lua_module.so",
    "nginx-light": "/usr/sbin/nginx",
    "rclone": "/usr/bin/rclone",
}
MARKERS = ("<!-- measured: made by scripts/bench --write -->\n", "<!-- /measured -->")


def main() -> None:
    """Measure, or write down what was measured."""
    if sys.argv[1:2] == ["catalogue"]:
        from bench_cases import catalogue

        catalogue.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["fleet"]:
        from bench_cases import fleet

        fleet.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Reads by cffs, rclone, JuiceFS, httpdirfs and curl from one nginx on 127.0.0.1, in rounds.",
        epilog="'scripts/bench catalogue' measures the catalogue alone, 'scripts/bench fleet' machines that share.",
    )
    parser.add_argument("--quick", action="store_true", help="one round, without the slowest; under 3 minutes")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds  [{ROUNDS}]")
    parser.add_argument("--rows", action="append", metavar="TEXT", help="only rows with this in their name; repeatable")
    parser.add_argument("--json", type=Path, default=LATEST, metavar="FILE", help="raw samples  [.bench.json]")
    parser.add_argument("--write", action="store_true", help="measure nothing: put FILE's figures into the document")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.json)
    else:
        install()
        measure(arguments)


def install() -> None:
    """Install the programs that are compared, from Debian. Raises SystemExit where that needs root."""
    missing = [package for package, used in PACKAGES.items() if not Path(used).exists()]
    if not missing:
        return
    if os.geteuid() != 0:
        raise SystemExit(f"scripts/bench: missing: {' '.join(missing)}\nas root: apt-get install {' '.join(missing)}")
    print(f"bench: installing {' '.join(missing)}", file=sys.stderr, flush=True)
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["/usr/bin/apt-get", "-qq", *command], check=True, **quiet)


def measure(arguments: argparse.Namespace) -> None:
    """Run the rounds over all cases, in one order and its reverse by turns. Ctrl-C ends what was started and keeps the
    samples."""
    from bench_cases import cases, files, programs, report, samples, site

    for which in SIGNALS:
        signal.signal(which, interrupt)
    rounds = 1 if arguments.quick else arguments.rounds
    taken = samples.Samples(samples.about(rounds))
    chosen = [
        case
        for case in cases.cases()
        if (case.is_quick or not arguments.quick)
        and (os.geteuid() == 0 or "as root" not in case.program)
        and (not arguments.rows or any(text in case.row for text in arguments.rows))
    ]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cffs-bench-", ignore_cleanup_errors=True) as name:
        files.make(Path(name))
        files.warm(Path(name))
        if any(case.program == "JuiceFS" for case in chosen):
            programs.fill_juicefs(Path(name))
        try:
            with site.serving(Path(name)) as running:
                for number in range(rounds):
                    for case in chosen[:: -1 if number % 2 else 1]:
                        if number < case.rounds:
                            run(case, running, taken, number)
        except KeyboardInterrupt:
            print("bench: interrupted", file=sys.stderr)
    taken.write(arguments.json)
    print(report.figures(taken), report.verdicts(taken), sep="\n\n")
    print(f"\n{len(taken.taken)} samples in {arguments.json}, {time.monotonic() - began:.0f} s", file=sys.stderr)


def interrupt(*_signal: object) -> None:
    """Raise KeyboardInterrupt for the first signal only: later ones must not stop what it takes to end."""
    for which in SIGNALS:
        signal.signal(which, signal.SIG_IGN)
    raise KeyboardInterrupt


def run(case: "Case", site: "Site", taken: "Samples", number: int) -> None:
    """Run one case once; one that fails is reported and leaves the others alone."""
    try:
        for sample in case.measure(site):
            sample.round = number + 1
            taken.taken.append(sample)
            print(f"bench: {number + 1}: {sample.row}: {sample.program}: {sample.seconds:.3f} s", file=sys.stderr)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {number + 1}: {case.row}: {case.program}: {error}", file=sys.stderr)


def write(path: Path) -> None:
    """Write the document's table and picture and the README's rows, from the samples in `path`, which are kept."""
    from bench_cases import plot, report, samples

    taken = samples.Samples.read(path)
    for page, table in ((REPORT, report.markdown(taken)), (FRONT, report.front_page(taken))):
        text = page.read_text()
        start, stop = text.index(MARKERS[0]) + len(MARKERS[0]), text.index(MARKERS[1])
        page.write_text(text[:start] + table + text[stop:])
    plot.draw(taken, PICTURE)
    taken.write(KEPT)
    print(f"bench: written: {REPORT}, {FRONT}, {PICTURE}, {KEPT}", file=sys.stderr)


if __name__ == "__main__":
    main()
