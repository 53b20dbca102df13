"""Every operation of both documents, driven through its path on a real mount.

The service's log is the witness that it was requested, as often as it should, and answered.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from cffs.callfire.operations import OPERATIONS
from cffs.standin.thread import StandinThread
from tests.mount.mounting import ROOT, Mounted, account_variables, mounted
from tests.mount.writing import wav
from tests.tree.sample_account import Facts

NUMBER = "12135551122"
#: The first document names no operations; these are the names of the stand-in's log.
FIRST = {
    "Get List of Recordings for a Call": "listRecordings",
    "Get a single recording": "getRecording",
    "Get a Dynamic Recording": "getDynamic",
    "Get a Dynamic Recording as MP3": "getDynamicMp3",
}
ACTS = {operation.name for operation in OPERATIONS if operation.method != "GET"}
Drive = Callable[[Mounted, StandinThread, Facts], None]


def reading(path: Callable[[Facts], str]) -> Drive:
    """Open a file and read it to its end; its bytes are the service's where it has such a file."""

    def drive(mount: Mounted, _standin: StandinThread, facts: Facts) -> None:
        assert (mount.path / path(facts)).read_bytes()

    return drive


def listing(path: str) -> Drive:
    """`ls` shows something."""

    def drive(mount: Mounted, _standin: StandinThread, _facts: Facts) -> None:
        assert os.listdir(mount.path / path)

    return drive


def look_into_a_call(mount: Mounted, standin: StandinThread, facts: Facts) -> None:
    """A call that is not known; v1 lists its files."""
    account = standin.account
    rows = [row for row in map(account.call_row, account.call_ids()) if row and row["campaignId"]]
    row = next(row for row in rows if row["id"] != facts.call and account.recording_ids(row["id"]))
    folder = mount.path / f"campaigns/{row['campaignId']}/{row['id']}"
    file_id = account.v1_file_id(account.recording_ids(row["id"])[0])
    assert (folder / f"{file_id}.wav").stat().st_size


def upload(mount: Mounted, _standin: StandinThread, _facts: Facts) -> None:
    (mount.path / "media/a song.wav").write_bytes(wav(1, nbytes=5000))


def create_credential(mount: Mounted, _standin: StandinThread, _facts: Facts) -> None:
    (mount.path / "me/api/credentials/probe").mkdir()


def delete_credential(mount: Mounted, _standin: StandinThread, facts: Facts) -> None:
    (mount.path / f"me/api/credentials/{facts.credential}.json").unlink()


def ring(mount: Mounted, _standin: StandinThread, _facts: Facts) -> None:
    (mount.path / "me/callerids" / NUMBER).mkdir()


def verify(mount: Mounted, standin: StandinThread, _facts: Facts) -> None:
    code = standin.account.me.verification_code(NUMBER)
    (mount.path / "me/callerids" / NUMBER / "verification-code").write_text(f"{code}\n")


#: In an order in which each finds what it needs, and nothing is cached of what it is to request.
DRIVES: dict[str, Drive] = {
    "getCallRecordingByName": reading(lambda facts: f"{facts.folder}/{facts.name}.json"),
    "getCallRecordingMp3ByName": reading(lambda facts: f"{facts.folder}/{facts.name}.mp3"),
    "Get List of Recordings for a Call": look_into_a_call,
    "Get a single recording": reading(lambda facts: f"recordings/{facts.id}.wav"),
    "Get a Dynamic Recording": reading(lambda facts: "dynamic/" + "/".join(facts.dynamic.parts)),
    "Get a Dynamic Recording as MP3": reading(
        lambda facts: "dynamic/" + "/".join(facts.dynamic.parts).removesuffix(".wav") + ".mp3"
    ),
    "getAccount": reading(lambda _facts: "me/account.json"),
    "findApiCredentials": listing("me/api/credentials"),
    "getApiCredential": reading(lambda facts: f"me/api/credentials/{facts.credential}.json"),
    "createApiCredential": create_credential,
    "deleteApiCredential": delete_credential,
    "getCreditUsage": reading(lambda _facts: "me/billing/credit-usage/2024-02.json"),
    "getBillingPlanUsage": reading(lambda _facts: "me/billing/plan-usage.json"),
    "getCallerIds": listing("me/callerids"),
    "sendVerificationCodeToCallerId": ring,
    "verifyCallerId": verify,
    "getMedia": reading(lambda facts: f"media/{facts.png}.json"),
    "getMediaData": reading(lambda facts: f"media/{facts.png}.png"),
    "getMediaDataBinary": reading(lambda facts: f"media/{facts.jpg}"),
    "getMediaDataByKey": reading(lambda facts: f"media/public/{facts.media_key}.jpeg"),
    "createMedia": upload,
}


def documented() -> set[str]:
    """The operations of both documents: the second as parsed, the first by the table that a test holds against it."""
    second = (ROOT / "tests/callfire/seeds/second.txt").read_text()
    found = set(re.findall(r"^      operationId: (\S+)$", second, flags=re.MULTILINE))
    assert len(found) == 17
    return found | {operation.name for operation in OPERATIONS if operation.document == "first"}


def test_every_operation_of_the_documents(said, home: Path, seed_only: StandinThread) -> None:
    """Each operation is requested by its path, on an origin that has nothing else; an action is sent exactly once, by
    its own path alone, and the telephone rings once."""
    facts = Facts(seed_only)
    assert set(DRIVES) == documented()
    with mounted(said, home, account_variables(seed_only), "--writable") as mount:
        for name, drive in DRIVES.items():
            before, kind = len(seed_only.requests), FIRST.get(name, name)
            drive(mount, seed_only, facts)
            asked = seed_only.requests[before:]
            assert kind in [record.kind for record in asked], name
            acting = [record.kind for record in asked if record.method != "GET"]
            assert acting == ([kind] if name in ACTS else []), name
    assert seed_only.account.me.verification_calls == [NUMBER]
    acting = [record.kind for record in seed_only.requests if record.method != "GET"]
    assert sorted(acting) == sorted(ACTS)
