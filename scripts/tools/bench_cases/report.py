"""The samples as text: figures for the terminal, demands, and tables.

It must not know how anything was measured.
"""

from statistics import median

from bench_cases.demands import DEMANDS
from bench_cases.samples import Sample, Samples

MIB = 1024 * 1024
#: Above this load other work shares the cores, and the table says so.
QUIET_LOAD = 1.0
#: The columns of the document's table. Those without a sample are left out.
COLUMNS = {
    "cffs": ("cffs", "cffs, disk cache"),
    "as root": ("cffs as root",),
    "stock wire": ("cffs, stock wire",),
    "rclone off": ("rclone off",),
    "rclone full": ("rclone full",),
    "newest rclone off": ("newest rclone off",),
    "newest rclone full": ("newest rclone full",),
    "newest rclone tuned": ("newest rclone tuned",),
    "JuiceFS": ("JuiceFS",),
    "httpdirfs": ("httpdirfs",),
    "curl, or local": ("curl", "curl -Z 8", "curl -Z 16", "local"),
}
#: The other mounts that cffs is compared with.
OTHER_MOUNTS = [name for name in COLUMNS if "rclone" in name or name in ("JuiceFS", "httpdirfs")]
#: The README's rows, and what they are called there.
FRONT_ROWS = {
    "stream 0 ms": "one large file, read once",
    "first 64 KiB, 50 ms": "the first 64 KiB of a file, 50 ms to the service",
    "cp -r 200 files, 50 ms": "`cp -r` of 200 recordings, 50 ms to the service",
}
FRONT_CURL = ("curl", "curl -Z 8")
#: Rows whose result is a time; that of the others is bytes a second.
_TIMED = ("first", "unlisted", "60 random", "head", "cp", "ls", "ffmpeg")


def figures(samples: Samples) -> str:
    """A line for each program in each row: medians, the worst time, and the cost; `CPU s` is the daemon's."""
    head = ("median", "worst", "MB/s", "requests", "sent MB", "of read", "CPU s", "Pss MiB")
    return "\n".join(
        [
            f"{'row':42} {'program':20} {' '.join(f'{word:>8}' for word in head)}",
            *(_line(taken) for taken in _groups(samples)),
        ]
    )


def verdicts(samples: Samples) -> str:
    """A line for each demand; those whose rows were not measured are left out."""
    lines = [f"{'row':32} {'program':16} {'reached':>8} {'demand':>8} {'go for':>8}"]
    for demand in DEMANDS:
        reached = demand.reached(samples)
        if reached is not None:
            values = [f"{demand.shown(value):>8}" for value in (reached, demand.demand, demand.goal)]
            verdict = "met" if demand.is_met(reached) else "NOT MET"
            lines.append(f"{demand.row:32} {demand.who:16} {' '.join(values)}  {verdict:8} {demand.what}")
    return "\n".join(lines)


def markdown(samples: Samples) -> str:
    """The document's table, and the circumstances of the measurement."""
    about, rows = samples.about, list(dict.fromkeys(sample.row for sample in samples.taken))
    machine, versions = about["machine"], about["versions"]
    busy = f" (busy: load {machine['load_before']} before)" if machine["load_before"] > QUIET_LOAD else ""
    names = {"rclone": "rclone", "newest_rclone": "newest rclone", "juicefs": "JuiceFS", "curl": "curl"}
    values = ", ".join(f"{name} {versions[key]}" for key, name in names.items() if key in versions)
    measured_with = (
        f"Medians of {about['rounds']} interleaved rounds, {about['date'][:10]}, commit `{about['commit']}`, "
        f"{machine['cores']} cores of {machine['cpu']}{busy}, Linux {machine['kernel']}, Python {versions['python']}, "
        f"{values}, nginx {versions['nginx']}. "
        "Behind each figure: the requests that it took, and the bytes that the server sent."
    )
    taken = {sample.program for sample in samples.taken}
    columns = {name: programs for name, programs in COLUMNS.items() if taken & set(programs)}
    lines = [
        measured_with,
        "",
        f"| | {' | '.join(columns)} | beside the best other mount |",
        f"|---|{'---:|' * len(columns)}---:|",
    ]
    for row in rows:
        cells = [_cell(samples, row, programs) for programs in columns.values()]
        lines.append(f"| {row} | {' | '.join(cells)} | {_compared(samples, row)} |")
    return "\n".join(lines) + "\n"


def _compared(samples: Samples, row: str) -> str:
    """How many times as fast cffs was."""
    ours = next((rate for program in COLUMNS["cffs"] if (rate := _speed(samples, row, program))), None)
    theirs = [rate for program in OTHER_MOUNTS if (rate := _speed(samples, row, program))]
    return f"{ours / max(theirs):.2g} times" if ours and theirs else ""


def _speed(samples: Samples, row: str, program: str) -> float | None:
    """Bytes a second, where bytes were read: not all read as many in each row."""
    seconds = samples.seconds(row, program)
    return (samples.rate(row, program) or 1 / seconds) if seconds else None


def front_page(samples: Samples) -> str:
    """The README's three rows, which a reader meets first."""
    lines = ["| | cffs | rclone mount | curl |", "|---|---:|---:|---:|"]
    for row, words in FRONT_ROWS.items():
        cells = (
            _cell(samples, row, programs).partition("<br>")[0] or "–"
            for programs in (("cffs",), ("rclone off",), FRONT_CURL)
        )
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _groups(samples: Samples) -> list[list[Sample]]:
    rows = dict.fromkeys(sample.row for sample in samples.taken)
    programs = dict.fromkeys(sample.program for sample in samples.taken)
    return [taken for row in rows for program in programs if (taken := samples.of(row, program))]


def _line(taken: list[Sample]) -> str:
    first, seconds = taken[0], [sample.seconds for sample in taken]
    middle = median(seconds)
    nbytes, requests = first.nbytes, median(sample.requests for sample in taken)
    rate = f"{nbytes / middle / 1e6:.0f}" if nbytes else "-"
    sent_nbytes = median(sample.sent_nbytes for sample in taken)
    share = f"{sent_nbytes / nbytes:.2f}" if nbytes else "-"
    cpu = median(sample.cpu_seconds for sample in taken)
    pss = max(sample.pss_nbytes for sample in taken) / MIB
    return (
        f"{first.row:42} {first.program:20} {middle:8.3f} {max(seconds):8.3f} {rate:>8} {_count(requests):>8} "
        f"{sent_nbytes / 1e6:8.2f} {share:>8} {f'{cpu:.2f}' if cpu else '-':>8} {f'{pss:.0f}' if pss else '-':>8}"
    )


def _cell(samples: Samples, row: str, programs: tuple[str, ...]) -> str:
    for program in programs:
        seconds, rate = samples.seconds(row, program), samples.rate(row, program)
        if seconds is None or rate is None:
            continue
        cost = _cost(samples.of(row, program))
        if row.startswith(_TIMED):
            return f"{seconds:.2f} s{cost}" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms{cost}"
        return f"{rate / 1e6:.0f} MB/s{cost}" if rate >= 1e7 else f"{rate / 1e6:.1f} MB/s{cost}"
    return ""


def _cost(taken: list[Sample]) -> str:
    requests, nbytes = median(sample.requests for sample in taken), median(sample.sent_nbytes for sample in taken)
    return f"<br>{_count(requests)} req., {_megabytes(nbytes)}" if requests else ""


def _count(requests: float) -> str:
    return f"{requests:.1f}".removesuffix(".0")


def _megabytes(nbytes: float) -> str:
    return f"{nbytes / 1e6:.0f} MB" if nbytes >= 1e7 else f"{nbytes / 1e6:.2g} MB"
