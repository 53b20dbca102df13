"""What scripts/bench says of its samples: verdicts as shown, and a document that shows the kept samples."""

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def _scripts_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """scripts/ is no package: its programs see it as their first folder."""
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_the_document_shows_the_kept_samples():
    """The figures of cffs/docs/performance.md are those of scripts/measured.json, rendered by today's code."""
    from benching import report, samples

    kept = samples.Samples.read(SCRIPTS / "measured.json")
    for page, table in (("cffs/docs/performance.md", report.markdown), ("README.md", report.front_page)):
        text = (SCRIPTS.parent / page).read_text()
        shown = text.partition("made by scripts/bench --write -->\n")[2].partition("<!-- /measured -->")[0]
        assert shown == table(kept), page


@pytest.mark.parametrize(
    ("cffs_seconds", "ratio", "verdict"), [(0.5, "2.00", "met"), (0.625, "1.60", "met"), (0.66, "1.52", "NOT MET")]
)
def test_a_verdict_is_of_the_medians_of_one_row(cffs_seconds, ratio, verdict):
    """A demand compares the medians of two programs in its row alone; what was not measured is not judged."""
    from benching import report
    from benching.samples import Sample, Samples

    taken = [Sample("stream 0 ms", "cffs", seconds=seconds, nbytes=10**8) for seconds in (9.0, cffs_seconds, 0.01)]
    taken += [Sample("stream 0 ms", "rclone off", seconds=1.0, nbytes=10**8)]
    taken += [Sample("stream 50 ms", "rclone off", seconds=0.001, nbytes=10**8)]
    lines = [line for line in report.verdicts(Samples(taken=taken)).splitlines() if "times rclone off" in line]
    assert len(lines) == 1
    assert ratio in lines[0]
    assert ("NOT MET" in lines[0]) == (verdict == "NOT MET")


def test_every_demand_has_its_cases():
    """Each row and program that a demand compares is one that some case measures."""
    from benching import cases
    from benching.demands import DEMANDS

    measured = {(case.row, case.program) for case in cases.cases()}
    follow = {"second read": "disk cache written", "from disk cache": "disk cache written"}
    follow |= {"ls -l 10,000, again": "ls -l 10,000"}
    for demand in DEMANDS:
        if demand.row != "every row":
            assert (follow.get(demand.row, demand.row), demand.who) in measured, demand.row
