"""What every test process has: repeatable runs, a terminal's signals, one search.

Without CFFS_TEST_EXPLORE (`scripts/test --all` sets it) a test sees equal examples of hypothesis and an equal order of
trio's tasks at every run: a run that fails fails again. With it both are drawn each time, to find what no test thought
of.

The output, the logs and the leavings of every test are searched for credentials in any form. Logs are captured at their
most verbose level (`log_level` in pyproject.toml). A test that shows a canary on purpose has the mark `shows_canaries`
with a reason.
"""

import os
import random
import signal
from collections.abc import Generator, Iterator

import hypothesis
import pytest
import trio

from tests import canary

EXPLORES = "CFFS_TEST_EXPLORE" in os.environ

#: No deadline for hypothesis: the clock of a loaded machine says nothing about a property.
exploring = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("exploring", exploring)
hypothesis.settings.register_profile("repeatable", exploring, derandomize=True)
#: For scripts/mutate: a mutant is noticed by the first example that fails; nothing is won by looking for a smaller one.
hypothesis.settings.register_profile(
    "noticing", exploring, derandomize=True, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
)
hypothesis.settings.load_profile("exploring" if EXPLORES else "repeatable")


def pytest_configure() -> None:
    """Children are born with SIGINT ignored where the test run itself was started in the background (`… &` in a
    script); then no Ctrl-C would reach what a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_order(request: pytest.FixtureRequest) -> None:
    """Seed the dice by which trio orders the tasks of a batch, which pytest-trio lays open for hypothesis."""
    dice: random.Random = trio._core._run._r
    dice.seed(None if EXPLORES else request.node.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test whose stdout, stderr or log shows a canary has failed."""
    report = yield
    if item.get_closest_marker("shows_canaries") is None:
        for name, text in report.sections:
            shown = canary.shows(text)
            if shown is not None and not report.failed:
                report.outcome = "failed"
                report.longrepr = f"a credential shows in {name}: {shown}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_canary_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the session's end no credential is found in the output of commands, nor in any file that a test left."""
    yield
    found = [shown for text in canary.SAID if (shown := canary.shows(text)) is not None]
    assert found + canary.in_folder(tmp_path_factory.getbasetemp()) == []
