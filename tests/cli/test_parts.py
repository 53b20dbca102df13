"""fstab lists, the mount table, holders of a mount."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cffs.cli.fstab import parse_mount_options
from cffs.cli.messages import one_line
from cffs.cli.mounts import absolute
from cffs.cli.paths import machine_timezone
from cffs.cli.prefetch import Problem, lines_of
from cffs.cli.unmount_tools import holders
from cffs.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("defaults,noauto,_netdev,user,x-systemd.automount,comment=hello,rw,nosuid,nodev,noexec", {}),
        ("uid=1000,allow_other,timeout=5", {"uid": "1000", "allow_other": "yes", "timeout": "5"}),
        ("formats=mp3,wav,offline", {"formats": "mp3,wav", "offline": "yes"}),
        ('formats="wav,mp3",cache-dir=/a\\,b', {"formats": "wav,mp3", "cache_dir": "/a,b"}),
        ("nooffline", {"offline": "no"}),
        ("ro", {"writable": "no"}),
    ],
)
def test_mount_options(text, options):
    """An fstab list gives our options; what is for others is passed over."""
    assert parse_mount_options(text) == options


@pytest.mark.parametrize(
    "text", ["nonsense", "exec", "apikey=CANARY", "password_file=CANARY", "timeout", "ro,writable", '"']
)
def test_refused_mount_options(text):
    """An unknown, impossible or secret option is refused in one line that shows no value."""
    with pytest.raises(UsageError) as caught:
        parse_mount_options(text)
    assert "CANARY" not in str(caught.value)


def test_sloppy_mount_options():
    """mount -s passes over unknown options, not over secrets."""
    assert parse_mount_options("nonsense,uid=3", sloppy=True) == {"uid": "3"}
    with pytest.raises(UsageError):
        parse_mount_options("apikey=x", sloppy=True)


def test_absolute_resolves_links(tmp_path):
    """A symbolic link to a folder stands for that folder, wherever in the path it is."""
    (tmp_path / "real/below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert absolute(tmp_path / "link") == tmp_path / "real"
    assert absolute(tmp_path / "link/below") == tmp_path / "real/below"


def test_holders_are_named(tmp_path):
    """A process that works in the folder, or has a file open in it, is found by name and pid."""
    child = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    try:
        assert [(holder.pid, holder.name) for holder in holders(tmp_path)] == [(child.pid, "sleep")]
    finally:
        child.kill()
        child.wait()
    assert os.getpid() not in [holder.pid for holder in holders(Path("/"))]
    assert sys.executable


def test_one_line_is_one_line():
    """Text from elsewhere cannot break a line or talk to the terminal."""
    assert one_line("a\nb\x1b[31m\x9bc") == "a b\\x1b[31m\\x9bc"


@pytest.mark.parametrize(
    ("variable", "link", "text", "zone"),
    [
        ("Asia/Tokyo", "/usr/share/zoneinfo/Europe/Berlin", "Europe/Paris\n", "Asia/Tokyo"),
        (":Asia/Tokyo", None, None, "Asia/Tokyo"),
        (":/usr/share/zoneinfo/Asia/Tokyo", None, None, "Asia/Tokyo"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "/usr/share/zoneinfo/Europe/Berlin", None, "Europe/Berlin"),
        ("", "/usr/share/zoneinfo/Europe/Berlin", "Europe/Paris\n", "Europe/Berlin"),
        (None, None, "Europe/Paris\n", "Europe/Paris"),
        (None, "/somewhere/else", "Mars/Base", "UTC"),
        (None, None, None, "UTC"),
        ("../../etc/passwd", None, None, "UTC"),
    ],
)
def test_the_zone_of_this_machine(tmp_path, variable, link, text, zone):
    """TZ, else what /etc says, as far as it is a zone that is known; else UTC."""
    if link is not None:
        (tmp_path / "localtime").symlink_to(link)
    if text is not None:
        (tmp_path / "timezone").write_text(text)
    environment = {} if variable is None else {"TZ": variable}
    assert machine_timezone(environment, etc=tmp_path) == zone


def test_what_could_not_be_brought():
    """One file is a line of its own; many that fail alike are one line with their number and the first of them."""
    problems = [Problem("/m/a", "gone"), *(Problem(f"/m/{n}", "No route to host") for n in range(40))]
    one, many = lines_of(problems)
    assert one == "/m/a: gone"
    assert many.startswith("40 files: No route to host; the first is /m/0 ")
    assert list(lines_of([])) == []
