"""The shares of few descriptors and of many."""

import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.cache.disk import MAX_OPEN_FILES
from cffs.daemon.descriptor_shares import _OWN, _POOLS, descriptor_limit, shares
from tests.cli.helpers import ROOT

CONNECTIONS = st.integers(2, 512)


@given(st.integers(0, 2**20), CONNECTIONS)
def test_the_shares_fit(limit, connections):
    """No share is empty, and none is larger than is of use. Together they fit beside what the mount has open, wherever
    there is room for the smallest of each."""
    given = shares(limit, connections=connections)
    assert 2 <= given.files <= MAX_OPEN_FILES
    assert 2 <= given.connections <= connections
    if limit >= _OWN + 2 + 2 * _POOLS:
        assert _OWN + given.files + given.connections * _POOLS <= limit


@given(st.integers(0, 2000), st.integers(0, 2000), CONNECTIONS)
def test_more_descriptors_are_never_less(one, other, connections):
    """A higher limit makes no share smaller."""
    few, many = (shares(limit, connections=connections) for limit in sorted((one, other)))
    assert few.files <= many.files
    assert few.connections <= many.connections


def test_what_is_usual_is_enough():
    """With the usual limit of 1024 every share is as large as is of use."""
    assert shares(1024, connections=16) == shares(10**6, connections=16)
    assert shares(1024, connections=16).connections == 16


@pytest.mark.parametrize(
    ("soft", "hard", "expected"), [(64, 64, 64), (64, 200, 200), (64, 4096, 1024), (2000, 4096, 2000)]
)
def test_the_soft_limit_is_raised(soft, hard, expected):
    """The limit is raised as far as it is of use and the hard limit allows, and is never lowered."""
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from cffs.daemon.descriptor_shares import descriptor_limit
print(descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(expected), str(expected), str(hard)]


def test_the_limit_of_this_process_holds():
    """The limit returned is the one that the kernel shows."""
    assert descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
