"""The main job on a real mount: every path reads the service's bytes."""

import filecmp
import os
import subprocess
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from cffs.core.names import decode_name
from cffs.standin.thread import StandinThread
from tests.mount.mounting import WATCHDOG_SECONDS, Mounted, account_variables, mounted

AUDIO = (".mp3", ".wav")
#: Folders with other names of these files; they have tests of their own.
VIEWS = {"by-date", "by-number", "by-label"}


def id_at_the_end(name: str) -> str:
    """The id that a listed name ends with, or is."""
    return name.rpartition("_")[2]


def true_bytes(standin: StandinThread, mount: Path, file: Path) -> bytes:
    """What the stand-in holds for a file of the mount, found by the file's path alone."""
    parts = file.relative_to(mount).parts
    stem, suffix = decode_name(file.stem), file.suffix
    ident = id_at_the_end(stem)
    if parts[0] == "dynamic":
        path = "/cloud/1/files/recording/" + "/".join(quote(part) for part in parts)
    elif parts[0] == "media":
        path = "/v2/media/" + "/".join(quote(part) for part in parts[1:])
        path += "" if suffix else "/file"
    elif suffix == ".wav":
        path = f"/cloud/1/files/recording/{ident}"
    elif (parts[0], len(parts)) in (("recordings", 2), ("campaigns", 3)):
        path = f"/v2/calls/recordings/{ident}.mp3"
    else:
        path = f"/v2/calls/{id_at_the_end(parts[-2])}/recordings/{quote(stem, safe='')}.mp3"
    found = standin.account.object_for(path)
    assert found is not None, path
    return found.read()


def audio_of(mount: Path) -> list[Path]:
    return sorted(
        Path(folder, name) for folder, _folders, names in os.walk(mount) for name in names if name.endswith(AUDIO)
    )


def check(standin: StandinThread, mount: Mounted, files: list[Path]) -> None:
    for file in files:
        size = file.stat().st_size
        data = file.read_bytes()
        assert data == true_bytes(standin, mount.path, file), file
        assert os.stat(file).st_size == len(data), f"{file}: {size} before open"


def test_both_apis_give_every_listed_file_whole(said, home, standin):
    """With both APIs every audio file that the tree lists holds the service's bytes, and fstat says their number."""
    with mounted(said, home, account_variables(standin)) as mount:
        places = {*VIEWS, "by-name", "public"}
        files = [file for file in audio_of(mount.path) if not places & set(file.relative_to(mount.path).parts)]
        assert len([file for file in files if file.parts[-2] == "recordings"]) == 24
        check(standin, mount, files)


def test_wav_forms_open_by_lookup(said, home, standin):
    """Lookup finds the form that listings do not show: {id}.wav beside every listed MP3."""
    with mounted(said, home, account_variables(standin)) as mount:
        listed = [name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3")]
        check(standin, mount, [mount.path / "recordings" / f"{name[:-4]}.wav" for name in listed])


def test_v1_alone_opens_a_call_that_nothing_lists(said, home, standin):
    """A v1 key alone opens campaigns/C/K, lists its WAVs, and then lists the campaign."""
    call_id = standin.account.call_ids()[0]
    campaign_id = standin.account.call_row(call_id)["campaignId"]
    with mounted(said, home, account_variables(standin, v2=False)) as mount:
        assert sorted(set(os.listdir(mount.path)) - VIEWS) == ["README.txt", "campaigns", "dynamic", "recordings"]
        folder = mount.path / "campaigns" / str(campaign_id) / str(call_id)
        wavs = [folder / name for name in os.listdir(folder) if name.endswith(".wav")]
        assert wavs
        check(standin, mount, wavs)
        assert os.listdir(mount.path / "campaigns") == [str(campaign_id)]


def test_v2_alone_lists_and_reads(said, home, standin):
    """A v2 login alone lists campaigns, calls and media and reads their MP3s; what v1 would add is absent."""
    with mounted(said, home, account_variables(standin, v1=False)) as mount:
        folders = ["calls", "campaigns", "me", "media", "recordings"]
        assert sorted(set(os.listdir(mount.path)) - VIEWS) == ["README.txt", *folders]
        files = audio_of(mount.path / "campaigns")
        assert files
        check(standin, mount, files[:5])
        assert not (mount.path / "campaigns/999").exists()


@pytest.mark.parametrize("apis", ["both", "v1", "v2"])
def test_the_two_documents_are_enough(said, home, seed_only, apis):
    """On an origin that answers the two documents' operations alone nothing fails and everything opens by lookup."""
    account = seed_only.account
    call_id = account.call_ids()[0]
    campaign_id = account.call_row(call_id)["campaignId"]
    recording = account.recording_rows(call_id)[0]
    variables = account_variables(seed_only, v1=apis != "v2", v2=apis != "v1")
    with mounted(said, home, variables) as mount:
        for folder, _folders, _files in os.walk(mount.path):
            os.listdir(folder)
        call = mount.path / "campaigns" / str(campaign_id) / str(call_id)
        files = []
        if apis != "v2":
            files.append(call / f"{recording['id']}.wav")
        if apis != "v1":
            files.append(call / f"{recording['name']}.mp3")
            assert f'"id": {recording["id"]}' in (call / f"{recording['name']}.json").read_text()
            media_id = account.media.media_ids()[0]
            files += [
                mount.path / f"media/{media_id}.{account.media.extension(media_id)}",
                mount.path / f"media/{media_id}",
            ]
            assert (mount.path / "me/account.json").read_bytes()
        check(seed_only, mount, files)


def test_dynamic_recordings_by_lookup(said, home, standin):
    """A dynamic recording opens under its own name and as .mp3, and is listed from then on."""
    name = next(iter(standin.account.media.dynamic))
    folder = f"dynamic/{name.hash_code}/{name.year}/{name.month}/{name.campaign}"
    with mounted(said, home, account_variables(standin)) as mount:
        file = mount.path / folder / name.filename
        check(standin, mount, [file])
        as_mp3 = file.with_suffix(".mp3")
        path = standin.account.object_for(f"/cloud/1/files/recording/{folder}/{name.filename}/mp3")
        assert as_mp3.read_bytes() == path.read()
        assert set(os.listdir(mount.path / folder)) == {file.name, as_mp3.name}
        assert not (mount.path / folder / "nothing.wav").exists()


def test_media_by_id_by_name_and_public(said, home, standin):
    """Media of every type, also of types that no document names, read whole by id, by name and by public key; by-name
    shares the inode of the id."""
    with mounted(said, home, account_variables(standin)) as mount:
        by_inode = {}
        for entry in os.scandir(mount.path / "media"):
            if entry.is_file() and not entry.name.endswith(".json"):
                by_inode[entry.stat().st_ino] = Path(entry.path)
        assert {file.suffix for file in by_inode.values()} == {
            ".bmp",
            ".gif",
            ".jpg",
            ".m4a",
            ".mp3",
            ".mp4",
            ".png",
            ".wav",
            *(".3gp", ".amr", ".vcf", ""),
        }
        check(standin, mount, list(by_inode.values()))
        named = list(os.scandir(mount.path / "media/by-name"))
        assert len(named) == len(by_inode)
        for entry in named:
            assert Path(entry.path).read_bytes() == by_inode[entry.stat().st_ino].read_bytes()
        public = [Path(entry.path) for entry in os.scandir(mount.path / "media/public")]
        suffixed = [file for file in by_inode.values() if file.suffix]  # a public address without one has no such name
        assert sorted(len(file.read_bytes()) for file in public) == sorted(len(f.read_bytes()) for f in suffixed)


def test_ffmpeg_decodes_wav_and_mp3_without_a_word(said, home, standin):
    """`ffmpeg -xerror -v error` plays both forms from the mount silently and succeeds."""
    with mounted(said, home, account_variables(standin)) as mount:
        name = next(name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3"))
        for file in (name, f"{name[:-4]}.wav"):
            command = ["ffmpeg", "-nostdin", "-xerror", "-v", "error", "-i", file, "-f", "null", "-"]
            done = subprocess.run(
                command, cwd=mount.path / "recordings", capture_output=True, text=True, timeout=WATCHDOG_SECONDS
            )
            assert (done.returncode, done.stderr) == (0, "")


def test_everyday_tools_agree(said, home, standin):
    """`cp -r`, `tar`, `find`, `ls -lR`, `cmp` and `du` finish without complaint, and copies equal the originals."""
    with mounted(said, home, account_variables(standin)) as mount:
        copy = home / "copy"
        for command in (
            ["ls", "-lR", str(mount.path)],
            ["find", str(mount.path), "-size", "+0"],
            ["cp", "-r", str(mount.path / "campaigns"), str(copy)],
            ["tar", "-cf", str(home / "all.tar"), "-C", str(mount.path), "media"],
            ["du", "-s", str(mount.path)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_SECONDS)
            assert (done.returncode, done.stderr) == (0, ""), command
        for folder, _folders, names in os.walk(mount.path / "campaigns"):
            other = copy / Path(folder).relative_to(mount.path / "campaigns")
            assert filecmp.cmpfiles(folder, other, names, shallow=False)[1:] == ([], [])


def test_a_hundred_readers_fetch_one_copy(said, home, standin):
    """A hundred readers of one cold file all get it right and cost the service one copy of it."""
    call_id = standin.account.add_call(seconds=5)
    recording_id = standin.account.recording_ids(call_id)[0]
    truth = standin.account.recording_object(recording_id, form="wav")
    with mounted(said, home, account_variables(standin)) as mount:
        file = mount.path / f"recordings/{recording_id}.wav"
        file.stat()
        standin.log.clear()
        results: list[bytes] = []
        readers = [threading.Thread(target=lambda: results.append(file.read_bytes())) for _ in range(100)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(WATCHDOG_SECONDS)
        assert results == [truth.read()] * 100
        fetched = sum(record.body_nbytes for record in standin.requests if record.kind == "getRecording")
        assert fetched <= truth.total_nbytes


def test_a_small_file_costs_one_request(said, home, standin):
    """A file of up to 512 KiB whose size a listing gave costs one request from open to end, none when read again."""
    with mounted(said, home, account_variables(standin)) as mount:
        name = next(name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3"))
        (mount.path / "recordings" / name).stat()
        standin.log.clear()
        first = (mount.path / "recordings" / name).read_bytes()
        assert len(first) <= 512 * 1024
        assert len(standin.requests) == 1
        assert (mount.path / "recordings" / name).read_bytes() == first
        assert len(standin.requests) == 1


def test_a_replaced_recording_is_seen_whole_by_a_new_open(said, home, standin):
    """After a recording changed at the service, a new open reads the new version whole: never a mix of the two."""
    call_id = standin.account.add_call()
    recording_id = standin.account.add_recording(call_id, wav_nbytes=4 * 2**20)
    path = f"/cloud/1/files/recording/{recording_id}"
    with mounted(said, home, account_variables(standin)) as mount:
        file = mount.path / f"recordings/{recording_id}.wav"
        with open(file, "rb") as old:
            assert old.read(4096) == standin.account.object_for(path).read(0, 4096)
            standin.account.replace_object(path)
            with pytest.raises(OSError, match="Stale"):
                while old.read(2**20):
                    pass
        assert file.read_bytes() == standin.account.object_for(path).read()
