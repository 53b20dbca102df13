"""The demands on the figures, each a comparison within one run.

It owns what must be reached. It must not know how anything was measured. Figures of different runs or machines are not
comparable, so none is compared.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench_cases.samples import Samples
from bench_cases.site import LATENCY_SECONDS

MIB = 1024 * 1024
MEMORY_MIB = 64


@dataclass(frozen=True, slots=True)
class Demand:
    """`reached` is computed from the samples; `demand` is what it must be, `goal` what it is built for.

    `who` reached it, and `what` is read after the value.
    """

    row: str
    who: str
    what: str
    reached: Callable[[Samples], float | None]
    demand: float
    goal: float
    at_least: bool = True

    def is_met(self, reached: float) -> bool:
        """True where that is enough, rounded as it is shown."""
        shown = round(reached, 2)
        return shown >= self.demand if self.at_least else shown <= self.demand

    def shown(self, value: float) -> str:
        """The value in as many digits as have a meaning."""
        return f"{value:.0f}" if value >= 20 or self.what == "requests" else f"{value:.2f}"


def _faster(row: str, than: str, demand: float, goal: float, *, by: str = "cffs") -> Demand:
    """The ratio to another program, in bytes a second."""
    return Demand(row, by, f"times {than}", lambda s: _ratio(s.rate(row, by), s.rate(row, than)), demand, goal)


def _shorter(row: str, than: str, demand: float, goal: float) -> Demand:
    """The ratio to another program, in time."""
    return Demand(
        row,
        "cffs",
        f"of {than}'s time",
        lambda s: _ratio(s.seconds(row, "cffs"), s.seconds(row, than)),
        demand,
        goal,
        at_least=False,
    )


def _most(row: str, what: str, reached: Callable[[Samples], float | None], demand: float, goal: float) -> Demand:
    return Demand(row, "cffs", what, reached, demand, goal, at_least=False)


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _peak_mib(samples: Samples) -> float | None:
    """None where nothing was measured: only root may look into the daemon, which other users cannot trace."""
    peaks = [sample.pss_nbytes / MIB for sample in samples.taken if sample.program.startswith("cffs")]
    return max(peaks, default=0) or None


_FIRST, _LIST = "first 64 KiB, 50 ms", "ls -l 10,000"
_ROOT = "cffs as root"
_FLAT, _NESTED = "unlisted: first 64 KiB, 50 ms", "unlisted, nested: first 64 KiB, 50 ms"
_SIXTEEN, _SEEK = "unlisted: 200 files by 16 programs, 50 ms", "60 random 16 KiB in 5 MB, 50 ms"
_ENDS = "head and tail, 50 ms"
_COPY, _DECODE = "cp -r 200 files, 50 ms", "ffmpeg, 60 files, 50 ms"

DEMANDS: tuple[Demand, ...] = (
    _faster("stream 0 ms", "rclone off", 1.6, 2.0),
    _faster("stream 0 ms", "curl", 0.42, 0.6),
    _faster("stream 0 ms", "rclone off", 2.0, 2.5, by=_ROOT),
    _faster("stream 0 ms", "curl", 0.5, 0.6, by=_ROOT),
    _faster("disk cache written", "rclone full", 1.8, 2.5, by="cffs, disk cache"),
    _faster("second read", "rclone full", 9, 15, by="cffs, disk cache"),
    _faster("from disk cache", "rclone full", 2.5, 4, by="cffs, disk cache"),
    _faster("stream 50 ms", "rclone off", 1.6, 2.0),
    _faster("stream 50 ms", "rclone off", 2.2, 3.0, by=_ROOT),
    _faster("slow link", "rclone off", 6.5, 7.5),
    _faster("TLS 0 ms", "rclone off", 1.25, 1.6),
    _faster("TLS 0 ms", "curl", 0.6, 0.85),
    _faster("TLS 50 ms", "rclone off", 1.25, 1.6),
    _faster("TLS 50 ms", "curl", 0.5, 0.85),
    _most(_FIRST, "latencies", lambda s: _ratio(s.seconds(_FIRST, "cffs"), LATENCY_SECONDS), 1.1, 1.05),
    _most(_FLAT, "latencies", lambda s: _ratio(s.seconds(_FLAT, "cffs"), LATENCY_SECONDS), 1.3, 1.2),
    _most(_FLAT, "requests", lambda s: s.requests(_FLAT, "cffs"), 2, 1),
    _most(_NESTED, "latencies", lambda s: _ratio(s.seconds(_NESTED, "cffs"), LATENCY_SECONDS), 2.3, 2.2),
    _shorter(_SIXTEEN, "curl -Z 16", 2.0, 1.2),
    _most(_SEEK, "requests", lambda s: s.requests(_SEEK, "cffs"), 5, 3),
    _most(_SEEK, "s", lambda s: s.seconds(_SEEK, "cffs"), 0.4, 0.25),
    _most(_ENDS, "requests", lambda s: s.requests(_ENDS, "cffs"), 2, 2),
    _faster("random 64 KiB, 0 ms, 1 thread", "rclone off", 4, 4.8),
    _faster("random 64 KiB, 0 ms, 4 threads", "rclone off", 4, 4.8),
    _faster("random 64 KiB, 50 ms, 4 threads", "rclone off", 4, 4.8),
    _shorter(_COPY, "rclone off", 0.12, 0.08),
    _shorter(_COPY, "curl -Z 8", 1.0, 0.75),
    _most(_LIST, "requests", lambda s: s.requests(_LIST, "cffs"), 15, 11),
    _most(f"{_LIST}, again", "s", lambda s: s.seconds(f"{_LIST}, again", "cffs"), 0.1, 0.05),
    _shorter(_DECODE, "local", 1.1, 1.0),
    _most("every row", "MiB of memory (Pss)", _peak_mib, MEMORY_MIB + 60, MEMORY_MIB + 30),
)
