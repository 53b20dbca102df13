"""Verdicts and tables of scripts/bench, rendered from samples."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "scripts/tools"


@pytest.fixture(autouse=True)
def _scripts_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of scripts/tools see that folder as the first of their path."""
    monkeypatch.syspath_prepend(str(TOOLS))


def test_the_document_shows_the_kept_samples():
    """The figures of cffs/docs/performance.md are the kept samples, rendered by today's code."""
    from bench_cases import report, samples

    kept = samples.Samples.read(TOOLS / "bench_cases/measured.json")
    for page, table in (("cffs/docs/performance.md", report.markdown), ("README.md", report.front_page)):
        text = (ROOT / page).read_text()
        shown = text.partition("made by scripts/bench --write -->\n")[2].partition("<!-- /measured -->")[0]
        assert shown == table(kept), page


@pytest.mark.parametrize(
    ("cffs_seconds", "ratio", "verdict"), [(0.5, "2.00", "met"), (0.625, "1.60", "met"), (0.66, "1.52", "NOT MET")]
)
def test_a_verdict_is_of_the_medians_of_one_row(cffs_seconds, ratio, verdict):
    """A demand compares the medians of two programs in its row alone; what was not measured is not judged."""
    from bench_cases import report
    from bench_cases.samples import Sample, Samples

    taken = [Sample("stream 0 ms", "cffs", seconds=seconds, nbytes=10**8) for seconds in (9.0, cffs_seconds, 0.01)]
    taken += [Sample("stream 0 ms", "rclone off", seconds=1.0, nbytes=10**8)]
    taken += [Sample("stream 50 ms", "rclone off", seconds=0.001, nbytes=10**8)]
    lines = [line for line in report.verdicts(Samples(taken=taken)).splitlines() if "times rclone off" in line]
    assert len(lines) == 1
    assert ratio in lines[0]
    assert ("NOT MET" in lines[0]) == (verdict == "NOT MET")


def test_every_demand_has_its_cases():
    """Each row and program that a demand compares is one that some case measures."""
    from bench_cases import cases
    from bench_cases.demands import DEMANDS

    measured = {(case.row, case.program) for case in cases.cases()}
    follow = {"second read": "disk cache written", "from disk cache": "disk cache written"}
    follow |= {"ls -l 10,000, again": "ls -l 10,000"}
    for demand in DEMANDS:
        if demand.row != "every row":
            assert (follow.get(demand.row, demand.row), demand.who) in measured, demand.row
