"""What every test process needs: a run that can be repeated, and signals that mean here what they mean on a terminal.

Without CFFS_TEST_EXPLORE (`scripts/test --all` sets it) a test sees the same examples of hypothesis and the same order
of trio's tasks at every run: a run that fails fails again. With it both are thrown anew each time, to find what nobody
thought of.
"""

import os
import random
import signal

import hypothesis
import pytest
import trio

EXPLORES = "CFFS_TEST_EXPLORE" in os.environ

hypothesis.settings.register_profile("repeatable", derandomize=True)
if not EXPLORES:
    hypothesis.settings.load_profile("repeatable")


def pytest_configure() -> None:
    """Children are born with SIGINT ignored where the test run itself was started in the background (`… &` in a
    script); then no Ctrl-C would reach what a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_order(request: pytest.FixtureRequest) -> None:
    """trio runs the tasks of a batch in an order of its own dice, which pytest-trio lays open for hypothesis."""
    dice: random.Random = trio._core._run._r
    dice.seed(None if EXPLORES else request.node.nodeid)
