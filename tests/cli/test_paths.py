"""The time zone of this machine."""

import pytest

from cffs.cli.paths import machine_timezone


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
