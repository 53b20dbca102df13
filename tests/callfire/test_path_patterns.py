"""The object and the operation of a request's path."""

import pytest

from cffs.callfire.path_patterns import object_of, operation_of
from cffs.core.source import (
    v1_dynamic,
    v1_recording,
    v2_media,
    v2_media_public,
    v2_media_raw,
    v2_recording,
    v2_recording_by_name,
)

PLACE = ("0a1b2c3d", "2012", "8", "7")


@pytest.mark.parametrize(
    "paths",
    [
        ("calls/recordings/5", v2_recording(5).path),
        ("calls/7", "calls/7/recordings", v2_recording_by_name(7, "a/b.mp3").path, "calls/7/recordings/a"),
        ("calls/broadcasts/9", "calls/broadcasts/9/calls", "calls/broadcasts/9/stats"),
        ("media/5", v2_media(5, "jpeg").path, v2_media(5, "jpg").path, v2_media_raw(5).path),
        (v2_media_public("a.b", "png").path, v2_media_public("a.b", "jpg").path),
        ("me/callerids", "me/billing/plan-usage", "me/api/credentials/5"),
        ("calls", "media", "calls/broadcasts"),
        ("files/recording/list/9/7", "files/recording/list/8/7"),
        tuple(v1_dynamic(PLACE, name).path for name in ("a.wav", "a", "a.mp3")),
        (v1_dynamic(PLACE, "a.wav").path, v1_dynamic(PLACE, "a.wav", mp3=True).path),
    ],
    ids=str,
)
def test_forms_of_one_object(paths: tuple[str, ...]) -> None:
    """Metadata and audio in every spelling are one object."""
    assert len({object_of(path) for path in paths}) == 1


def test_other_objects_are_others() -> None:
    """Ids, kinds and names distinguish objects."""
    paths = ["calls/5", "calls/6", "calls/recordings/5", "calls/broadcasts/5", "media/5", "me", v1_recording(6).path]
    paths += [v1_dynamic(PLACE, "a.wav").path, v1_dynamic(PLACE, "b.wav").path, "media/public/5.png", "other", "calls"]
    assert len({object_of(path) for path in paths}) == len(paths)


@pytest.mark.parametrize(
    ("one", "other", "are_alike"),
    [
        ("calls/recordings/5.mp3", "calls/recordings/6.mp3", True),
        ("calls/recordings/5.mp3", "calls/recordings/5", False),
        (v2_recording_by_name(5, "a").path, v2_recording_by_name(6, "b c/7").path, True),
        (v2_recording_by_name(5, "5").path, "calls/5/recordings", False),
        (v2_media(5, "png").path, v2_media(6, "png").path, True),
        (v2_media(5, "png").path, v2_media(5, "jpg").path, False),
        (v2_media_public("a", "png").path, v2_media_public("b.c", "png").path, True),
        (v1_dynamic(PLACE, "a").path, v1_dynamic(PLACE, "b/c").path, True),
        (v1_dynamic(PLACE, "a").path, v1_dynamic(PLACE, "a", mp3=True).path, False),
        (v1_recording(5).path, v1_recording(6).path, True),
        ("files/recording/list/1/2", "files/recording/list/3/4", True),
    ],
)
def test_operations(one: str, other: str, are_alike: bool) -> None:
    """An operation is its path without ids and names."""
    assert (operation_of(one) == operation_of(other)) is are_alike
