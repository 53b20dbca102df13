"""Paths below mounts, with their links resolved."""

from cffs.cli.mounts import absolute


def test_absolute_resolves_links(tmp_path):
    """A symbolic link to a folder stands for that folder, wherever in the path it is."""
    (tmp_path / "real/below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert absolute(tmp_path / "link") == tmp_path / "real"
    assert absolute(tmp_path / "link/below") == tmp_path / "real/below"
