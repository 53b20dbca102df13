"""Unusual answers of the service on the real mount."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cffs.standin.thread import StandinThread
from tests.mount.mounting import Said, account_variables, mounted, run, until

PAGES = [
    (b"\n" * 2000 + b"<html><title>Sign in</title></html>", "audio/x-wav"),
    (b'"gone"', "application/json"),
    (b"Recording not found", "audio/mpeg"),
    ("\ufeff\r\n<html>".encode("utf-16-le"), "text/html"),
]
CUT = b'<i{"[]' + bytes(range(256)) * 40


@contextmanager
def refused(number: int) -> Iterator[None]:
    """The block must fail with exactly this errno."""
    with pytest.raises(OSError) as raised:
        yield
    assert errno.errorcode[raised.value.errno or 0] == errno.errorcode[number]


def test_pages_are_refused_and_audio_is_read(said: Said, home: Path, standin: StandinThread) -> None:
    """A page is EIO at open under any type, and gone with the page; a stream cut in a frame is read."""
    first, other = (standin.account.recording_ids(call_id)[0] for call_id in standin.account.call_ids()[:2])
    with mounted(said, home, account_variables(standin)) as mount:
        path = mount.path / f"recordings/{first}.mp3"
        for data, content_type in PAGES:
            number = standin.faults.add("body", path=f"{first}.mp3", data=data, content_type=content_type)
            with refused(errno.EIO):
                path.read_bytes()
            standin.faults.remove(number)
        true = standin.account.object_for(f"/v2/calls/recordings/{first}.mp3")
        assert true is not None
        until(lambda: path.read_bytes() == true.read())
        standin.faults.add("body", path=f"{other}.mp3", data=CUT, content_type="application/json")
        assert (mount.path / f"recordings/{other}.mp3").read_bytes() == CUT


def test_a_rate_limit_is_waited_for(said: Said, home: Path, standin: StandinThread) -> None:
    """403 that speaks of a rate limit is no bad login: the file is read after a pause, and the mount is online."""
    recording_id = standin.account.recording_ids(standin.account.call_ids()[0])[0]
    words = json.dumps({"httpStatusCode": 403, "message": "Rate Limit Reached"}).encode()
    with mounted(said, home, account_variables(standin)) as mount:
        standin.faults.add("body", path=f"{recording_id}.mp3", status=403, data=words, times=1)
        true = standin.account.object_for(f"/v2/calls/recordings/{recording_id}.mp3")
        assert true is not None
        assert (mount.path / f"recordings/{recording_id}.mp3").read_bytes() == true.read()
        origin = mount.status()["origin"]
        assert isinstance(origin, dict)
        assert origin["v2"] == "online"


def test_media_of_any_type(said: Said, home: Path, standin: StandinThread) -> None:
    """A vCard and a film of a telephone are listed under their suffixes, and read by id, name and public key."""
    library = standin.account.media
    with mounted(said, home, account_variables(standin)) as mount:
        media = mount.path / "media"
        for extension in ("vcf", "3gp"):
            ident = next(ident for ident in library.media_ids() if library.extension(ident) == extension)
            found = library.media_object(ident)
            assert found is not None
            assert f"{ident}.{extension}" in os.listdir(media)
            (named,) = [name for name in os.listdir(media / "by-name") if name.endswith(f".{extension}")]
            for path in (f"{ident}.{extension}", str(ident), f"by-name/{named}"):
                assert (media / path).read_bytes() == found.read(), path
            assert (media / f"public/{library.media_key(ident)}.{extension}").read_bytes() == found.read()


def test_what_was_imported_is_complete_in_a_running_mount(said: Said, home: Path, standin: StandinThread) -> None:
    """A v2 URL in escaped text: the recording appears where its call's number, which no listing gave, puts it."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        os.listdir(mount.path / "by-number")
        call_id = standin.account.add_call(recordings=0, campaignId=5, fromNumber="13105559876", inbound=True)
        recording_id = standin.account.add_recording(call_id)
        text = f"&lt;a href=&quot;{standin.v2_url}/calls/recordings/{recording_id}.mp3&quot;&gt;"
        (home / "log.txt").write_text(text)
        done = run(said, home, "catalog", "import", home / "log.txt", **variables)
        assert done.returncode == 0, done.stderr
        until(lambda: os.path.exists(mount.path / "by-number/13105559876"))
        assert any(str(recording_id) in name for name in os.listdir(mount.path / "by-number/13105559876"))
        shown = json.loads((mount.path / f"campaigns/5/{call_id}/call.json").read_bytes())
        assert shown == standin.account.call_row(call_id)


def test_a_verified_number_exists(said: Said, home: Path, standin: StandinThread) -> None:
    """A number that is verified already, also one that was verified elsewhere meanwhile, is EEXIST, and no telephone
    rings."""
    with mounted(said, home, account_variables(standin), "--writable") as mount:
        os.listdir(mount.path / "me/callerids")
        standin.account.me.caller_ids.append("12135551122")
        with refused(errno.EEXIST):
            (mount.path / "me/callerids/12135551122").mkdir()
        assert standin.account.me.verification_calls == []
