"""What the stand-in's account holds, for tests that name its paths; the exceptions that mean `not there`."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from cffs.core.errors import NotInTree, RemoteObjectMissing
from cffs.standin.thread import StandinThread
from tests.tree.world import World

Open = Callable[..., AbstractAsyncContextManager[World]]
Serve = Callable[..., StandinThread]

#: What a lookup raises where there is nothing.
MISSING = (NotInTree, RemoteObjectMissing)

#: What v2 adds to the root.
VIEWS = ("by-date", "by-number", "by-label")


class Facts:
    """One campaign, one call of it, its recordings, and one of each other thing of an account."""

    def __init__(self, standin: StandinThread) -> None:
        account = standin.account
        rows = (account.call_row(call_id) for call_id in account.call_ids())
        row = next(row for row in rows if row and row["campaignId"])
        lone = next(
            row
            for row in (account.call_row(call_id) for call_id in account.call_ids())
            if row and not row["campaignId"]
        )
        self.call, self.campaign, self.lone_call = row["id"], row["campaignId"], lone["id"]
        self.recordings = account.recording_rows(self.call) or []
        self.recording = self.recordings[0]
        self.id, self.name = self.recording["id"], self.recording["name"]
        self.file = account.v1_file_id(self.id)
        self.lone_recording = (account.recording_rows(self.lone_call) or [])[0]
        self.dynamic = next(iter(account.media.dynamic))
        self.dynamic_folder = "dynamic/" + "/".join(self.dynamic.parts[:4])
        self.media = account.media.media_ids()
        self.jpg = next(ident for ident in self.media if account.media.extension(ident) == "jpg")
        self.png = next(ident for ident in self.media if account.media.extension(ident) == "png")
        self.credential = account.me.credentials()[0]["id"]
        self.number = account.me.caller_ids[0]
        self.media_key = account.media.media_key(self.jpg)
        self.folder = f"campaigns/{self.campaign}/{self.call}"

    def true_bytes(self, path: str, standin: StandinThread) -> bytes:
        found = standin.account.object_for(path)
        assert found is not None
        return found.read()


def folder_paths(facts: Facts, *, v1: bool, v2: bool) -> list[str]:
    """Folders that are there with those credentials."""
    found = ["campaigns", f"campaigns/{facts.campaign}", facts.folder, "recordings", ".cffs"]
    if v1:
        found += ["dynamic", facts.dynamic_folder, facts.dynamic_folder.rpartition("/")[0]]
    if v2:
        found += ["calls", f"calls/{facts.call}", "media", "media/by-name", "media/public", "me", "me/billing"]
        found += ["me/billing/credit-usage", "me/callerids", f"me/callerids/{facts.number}", "me/api/credentials"]
    return found


def mp3_bytes(standin: StandinThread, ident: Any) -> bytes:
    """The true bytes of a recording's MP3."""
    found = standin.account.object_for(f"/v2/calls/recordings/{ident}.mp3")
    assert found is not None
    return found.read()
