"""Reports of a starting daemon: their form on the way to the command."""

import pytest

from cffs.daemon.report import Report


@pytest.mark.parametrize("report", [Report.ready(), Report.error("a\nb"), Report.notice("x")])
def test_reports_travel(report):
    """A report is one line, and comes back as it was, except for line breaks."""
    line = report.to_line()
    assert line.count("\n") == 1
    again = Report.from_line(line)
    assert again.kind is report.kind
    assert again.message == report.message.replace("\n", " ")
