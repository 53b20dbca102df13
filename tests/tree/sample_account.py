"""What the stand-in's account holds, and helpers for tests that name its paths."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cffs.catalog.url_finder import Finding
from cffs.catalog.url_import import CatalogFile, Tally
from cffs.core.errors import NotInTree, RemoteObjectMissing
from cffs.core.names import encode_name
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
    """Folders that exist with those credentials."""
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


def calls_of(standin: StandinThread) -> list[tuple[Any, list[Any]]]:
    """Every call of the account with its recordings."""
    account = standin.account
    rows = ((account.call_row(ident), account.recording_rows(ident) or []) for ident in account.call_ids())
    return [(row, recordings) for row, recordings in rows if row]


async def known(tree: World) -> None:
    """Have everything listed once, with no request left in the background."""
    await tree.names("recordings")
    await tree.names("campaigns")


def call_name(call: Any) -> str:
    """The name under which a call is listed."""
    made = datetime.fromtimestamp(call["created"] / 1000, tz=UTC)
    minutes, seconds = divmod(sum(record["duration"] for record in call["records"]), 60)
    way, number = ("in", call["fromNumber"]) if call["inbound"] else ("out", call["toNumber"])
    return f"{made:%Y-%m-%d_%H.%M.%S}_{way}_{number}_{minutes}m{seconds:02}s_{call['id']}"


async def folder_of(tree: World, campaign_id: int) -> str:
    """The campaign's folder, as it is listed."""
    row = tree.catalog.campaign(campaign_id)
    assert row is not None
    return f"campaigns/{row.folder}"


def imported(folder: Path, *findings: Finding) -> None:
    """Import findings as `cffs catalog import` does, from another process."""
    with closing(CatalogFile(folder / "catalog.sqlite")) as opened:
        for _ in opened.take(iter(findings), Tally()):
            pass


HOSTILE_IDS: tuple[Any, ...] = (None, "", "abc", -1, 0, 1.5, True, [], {}, 2**63, 10**30, "007", "-5", "1\0")


def attempt_of(call: Any, recording: Any) -> Any:
    """The entry of `records[]` that holds the recording."""
    return next(one for one in call["records"] if recording["id"] in {held["id"] for held in one["recordings"]})


def listed(call: Any, recording: Any, zone: str = "UTC") -> str:
    """The listed name of the recording, without its extension (`cffs/docs/semantics.md#names`)."""
    made = datetime.fromtimestamp(recording["created"] / 1000, tz=UTC).astimezone(ZoneInfo(zone))
    tried = attempt_of(call, recording).get("toNumber") or call["toNumber"]
    minutes, seconds = divmod(recording["lengthInSeconds"], 60)
    name = "" if recording["name"] == "call_recording" else f"_{encode_name(recording['name'])}"
    way, number = ("in", call["fromNumber"]) if call["inbound"] else ("out", tried)
    return f"{made:%Y-%m-%d_%H.%M.%S}_{way}_{number}_{minutes}m{seconds:02}s{name}_{recording['id']}"
