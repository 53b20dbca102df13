import pytest

from cffs.core.probe_names import is_probe_name


@pytest.mark.parametrize(
    "name",
    [
        ".hidden", ".directory", ".Trash", ".Trash-1000", ".Trashes", ".sh_thumbnails", "autorun.inf", "AUTORUN.INF",
        "desktop.ini", "Desktop.ini", "Thumbs.db", ".DS_Store", "._call.mp3", ".git", ".svn", ".hg", ".nomedia",
        ".trackerignore", ".xdg-volume-info", "call-000.ifo", "call-000.idx", "folder.jpg", "Folder.jpg", ".folder.png",
        "AlbumArtSmall.jpg", "cover.jpg", "front.bmp", "thumb.jpg", "Subtitles", "subtitles", "Subs", "subs",
        "BDMV", "VIDEO_TS",
    ],
)  # fmt: skip
def test_names_asked_by_habit_are_junk(name: str) -> None:
    """Each name that programs were seen to probe for, or that the documents list, is answered without a request."""
    assert is_probe_name(name)


@pytest.mark.parametrize(
    "name",
    ["cover.mp3", "cover", "folder.mp3", "call.json", "call_recording.mp3", "5", "playlist.m3u8", ".cffs", "trash.wav",
     "idx", "ifo.mp3", "", "git", "thumb.png"],
)  # fmt: skip
def test_names_of_recordings_are_not(name: str) -> None:
    """A name that a recording, a folder or a file of ours can have is never a probe name."""
    assert not is_probe_name(name)
