"""The samples as text: every figure for the terminal, what was demanded and reached, and a table.

It must not know how anything was measured.
"""

from collections.abc import Iterator
from statistics import median

from benching.demands import DEMANDS
from benching.samples import Sample, Samples

MIB = 1024 * 1024
#: Above it other work shares the cores, and the table says so.
QUIET_LOAD = 1.0
#: The document's columns: what a reader may know.
COLUMNS = {
    "cffs": ("cffs", "cffs, disk cache"),
    "as root": ("cffs as root",),
    "stock wire": ("cffs, stock wire",),
    "rclone off": ("rclone off",),
    "rclone full": ("rclone full",),
    "httpdirfs": ("httpdirfs",),
    "curl, or local": ("curl", "curl -Z 8", "local"),
}
#: Rows whose result is a time; the others' is bytes a second.
_TIMED = ("first", "cp", "ls", "ffmpeg")


def figures(samples: Samples) -> str:
    """A line for each program in each row: medians, the worst time, and what it cost: `CPU s` is of the daemon."""
    head = ("median", "worst", "MB/s", "requests", "fetched", "CPU s", "Pss MiB")
    return "\n".join(
        [
            f"{'row':32} {'program':18} {' '.join(f'{word:>8}' for word in head)}",
            *(_line(taken) for taken in _groups(samples)),
        ]
    )


def verdicts(samples: Samples) -> str:
    """A line for each demand; those whose rows were not measured are left out."""
    lines = [f"{'row':32} {'program':16} {'reached':>8} {'demand':>8} {'go for':>8}"]
    for demand in DEMANDS:
        reached = demand.reached(samples)
        if reached is not None:
            told = [f"{demand.told(value):>8}" for value in (reached, demand.demand, demand.goal)]
            verdict = "met" if demand.is_met(reached) else "NOT MET"
            lines.append(f"{demand.row:32} {demand.who:16} {' '.join(told)}  {verdict:8} {demand.what}")
    return "\n".join(lines)


def markdown(samples: Samples) -> str:
    """The document's table, and what it was measured with."""
    about, rows = samples.about, list(dict.fromkeys(sample.row for sample in samples.taken))
    machine, versions = about["machine"], about["versions"]
    busy = f" (busy: load {machine['load_before']} before)" if machine["load_before"] > QUIET_LOAD else ""
    measured_with = (
        f"Medians of {about['rounds']} interleaved rounds, {about['date'][:10]}, commit `{about['commit']}`, "
        f"{machine['cores']} cores of {machine['cpu']}{busy}, Linux {machine['kernel']}, Python {versions['python']}, "
        f"rclone {versions['rclone']}, curl {versions['curl']}, nginx {versions['nginx']}."
    )
    lines = [
        measured_with,
        "",
        f"| | {' | '.join(COLUMNS)} | reached (demanded) |",
        f"|---|{'---:|' * len(COLUMNS)}---|",
    ]
    for row in rows:
        cells = [_cell(samples, row, programs) for programs in COLUMNS.values()]
        lines.append(f"| {row} | {' | '.join(cells)} | {'; '.join(_reached(samples, row)) or '—'} |")
    lines.append(f"| every row {'| ' * len(COLUMNS)}| {'; '.join(_reached(samples, 'every row'))} |")
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
    fetched = f"{median(sample.sent_nbytes for sample in taken) / nbytes:.2f}" if nbytes else "-"
    cpu = median(sample.cpu_seconds for sample in taken)
    pss = max(sample.pss_nbytes for sample in taken) / MIB
    return (
        f"{first.row:32} {first.program:18} {middle:8.3f} {max(seconds):8.3f} {rate:>8} {requests:8.0f} {fetched:>8} "
        f"{f'{cpu:.2f}' if cpu else '-':>8} {f'{pss:.0f}' if pss else '-':>8}"
    )


def _cell(samples: Samples, row: str, programs: tuple[str, ...]) -> str:
    for program in programs:
        seconds, rate = samples.seconds(row, program), samples.rate(row, program)
        if seconds is None or rate is None:
            continue
        if row.startswith(_TIMED):
            return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
        return f"{rate / 1e6:.0f} MB/s" if rate >= 1e7 else f"{rate / 1e6:.1f} MB/s"
    return ""


def _reached(samples: Samples, row: str) -> Iterator[str]:
    for demand in DEMANDS:
        reached = demand.reached(samples) if demand.row == row else None
        if reached is not None:
            who = " as root" if demand.who == "cffs as root" else ""
            missed = "" if demand.is_met(reached) else " **missed**"
            yield f"{demand.told(reached)} {demand.what}{who} ({demand.told(demand.demand)}){missed}"
