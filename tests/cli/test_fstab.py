"""The `-o` list of mount(8) and /etc/fstab, taken apart."""

import pytest

from cffs.cli.fstab import parse_mount_options
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
