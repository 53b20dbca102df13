"""The picture of cffs/docs/performance.md: bytes a second, row by row.

It owns matplotlib, a development dependency, which nothing else imports. The SVG is small, and equal for equal samples.
"""

from pathlib import Path

import matplotlib as mpl

from bench_cases.samples import Samples

ROWS = (
    "stream 0 ms",
    "stream 50 ms",
    "TLS 0 ms",
    "TLS 50 ms",
    "disk cache written",
    "second read",
    "from disk cache",
    "slow link",
)
COLOURS = {
    "curl": "#9a9a9a",
    "rclone off": "#e0a458",
    "rclone full": "#b5651d",
    "cffs, stock wire": "#a9c7e8",
    "cffs": "#2f6db5",
    "cffs, disk cache": "#2f6db5",
    "cffs as root": "#12355b",
}


def draw(samples: Samples, path: Path) -> None:
    """Write the SVG."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "cffs", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt  # after the backend is chosen

    figure, axes = plt.subplots(2, 4, figsize=(10, 4.2), layout="constrained")
    for axis, row in zip(axes.flat, ROWS, strict=True):
        rates = {program: samples.rate(row, program) for program in COLOURS}
        shown = {program: rate / 1e6 for program, rate in rates.items() if rate is not None}
        bars = axis.barh(list(shown), list(shown.values()), color=[COLOURS[program] for program in shown])
        axis.bar_label(bars, fmt="%.0f", padding=2)
        axis.set_title(f"{row}, MB/s", loc="left")
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.set_xticks([])
        axis.margins(x=0.2)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
