"""Mounting: where a mount is made, and where it is not."""

import pytest

from cffs.core.errors import UsageError
from cffs.daemon.mount_table import mounts_now
from cffs.daemon.mounting import mount
from tests.daemon.test_main import settings


@pytest.mark.parametrize("link", ["link", "link/mnt", "link/below/mnt"])
def test_no_link_leads_a_mount_elsewhere(tmp_path, link):
    """A link that was put into the path after it was checked is not followed: nothing is mounted where it leads."""
    target = tmp_path / "target"
    (target / "below/mnt").mkdir(parents=True)
    (target / "mnt").mkdir()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UsageError, match="cannot mount on"):
        mount(settings(tmp_path), tmp_path / link)
    assert not [one for one in mounts_now() if one.mountpoint.is_relative_to(tmp_path)]
