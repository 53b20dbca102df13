"""The parsers of the kernel's texts in /proc."""

from pathlib import Path

import pytest

from cffs.core.procfs import parse_mountinfo, thread_group


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tx\nTgid:\t6\nPid:\t7\n", 6),
        ("Name:\tTgid: 9\nTgid:\t6\n", 6),
        ("Name:\tx\nNStgid:\t9\n", None),
        ("Tgid:\tx\n", None),
        ("Tgid:\n6\n", None),
        ("", None),
    ],
)
def test_the_thread_group_of_a_status(status, expected):
    """The number behind `Tgid:`, at the beginning of a line and nowhere else; None for a text without one."""
    assert thread_group(status) == expected


def test_mount_table():
    """Names with blanks and backslashes are read as they are; a torn line is passed over."""
    text = (
        "36 25 0:32 / /mnt/a\\040b\\134c rw,nosuid shared:1 - fuse.cffs callfire:default ro,user_id=1000,group_id=0\n"
        "torn line\n"
        "37 25 0:33 / /proc rw - proc proc rw\n"
    )
    first, second = parse_mountinfo(text)
    assert first.mountpoint == Path("/mnt/a b\\c")
    assert (first.is_cffs, first.user_id, first.source) == (True, 1000, "callfire:default")
    assert not second.is_cffs
