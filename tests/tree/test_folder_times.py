"""Times of files and folders: the service's, else of the first sight of them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cffs.catalog import upserts
from cffs.standin.thread import StandinThread
from tests.catalog.factories import recording
from tests.tree.sample_account import Facts, Open, Serve
from tests.tree.world import World

#: After all that the stand-in generates (2024-06-01).
LATER_MS = 1_750_000_000_000
DAY_MS = 24 * 3600 * 1000


async def age_ms(tree: World, path: str) -> int | None:
    """What stat shows of a path, in unix milliseconds."""
    modified_ns = (await tree.describe(path)).modified_ns
    return None if modified_ns is None else modified_ns // 10**6


def newest(standin: StandinThread, **wanted: Any) -> int:
    """When the newest recording of the calls that meet a condition was made."""
    account = standin.account
    rows = [account.call_row(call_id) or {} for call_id in account.call_ids()]
    calls = [row["id"] for row in rows if all(row[name] == value for name, value in wanted.items())]
    return max(made["created"] for call_id in calls for made in account.recording_rows(call_id) or [])


async def test_folders_are_as_old_as_what_they_hold(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A call's folder has the time of its creation; that of a campaign, number, label, day, month, year or of
    everything the time of the newest recording in it."""
    call = standin.account.call_row(facts.call) or {}
    day = f"{datetime.fromtimestamp(newest(standin) / 1000, tz=UTC):%Y/%m/%d}"
    async with world() as tree:
        await tree.names("recordings")
        assert await age_ms(tree, facts.folder) == call["created"]
        assert await age_ms(tree, f"campaigns/{facts.campaign}") == newest(standin, campaignId=facts.campaign)
        for path in ("campaigns", "recordings", "by-date", "by-number", "by-label"):
            assert await age_ms(tree, path) == newest(standin)
        for depth in (1, 2, 3):
            path = "/".join(day.split("/")[:depth])
            assert await age_ms(tree, f"by-date/{path}") == newest(standin)
        assert (await age_ms(tree, f"by-number/{call['fromNumber']}") or 0) >= call["created"]


async def test_a_folder_is_as_new_as_the_call_that_came(world: Open, facts: Facts, standin: StandinThread) -> None:
    """When a call comes the times of all folders that show it move, so that locate and make see it."""
    folders = ["campaigns", f"campaigns/{facts.campaign}", "recordings", "by-date", "by-number", "by-label"]
    folders += ["by-number/12135550100", "by-label/new"]
    async with world(dir_ttl_seconds=0.0) as tree:
        standin.account.add_call(campaignId=facts.campaign, labels=["new"], fromNumber="12135550100")
        await tree.names("recordings")
        await tree.listings._listings["recordings"].wait_whole()
        before = [await age_ms(tree, path) for path in folders]
        standin.account.add_call(
            campaignId=facts.campaign, labels=["new"], fromNumber="12135550100", created_ms=LATER_MS
        )
        await tree.names("recordings")
        await tree.listings._listings["recordings"].wait_whole()
        after = [await age_ms(tree, path) for path in folders]
        assert after == [LATER_MS] * len(folders)
        assert all(was is not None and was < LATER_MS for was in before)


async def test_what_leaves_takes_its_time_along(world: Open, standin: StandinThread) -> None:
    """A label that is taken away from the newest of its calls is as old as the newest that still has it."""
    account = standin.account
    older = account.add_call(labels=["kept"], created_ms=LATER_MS)
    newer = account.add_call(labels=["kept"], created_ms=LATER_MS + DAY_MS)
    async with world(dir_ttl_seconds=0.0) as tree:
        await tree.names("recordings")
        await tree.listings._listings["recordings"].wait_whole()
        assert await age_ms(tree, "by-label/kept") == LATER_MS + DAY_MS
        account.set_call(newer, labels=["other"])
        await tree.names("recordings")
        await tree.listings._listings["recordings"].wait_whole()
        assert await age_ms(tree, "by-label/kept") == LATER_MS
        assert older != newer


@pytest.mark.parametrize("created_ms", [-1, 2**62, None])
async def test_nonsense_makes_no_folder_new(world: Open, facts: Facts, created_ms: int | None) -> None:
    """A recording of an impossible time, or of none, does not decide how old its folders are."""
    async with world() as tree:
        await tree.names("recordings")
        folders = ["campaigns", f"campaigns/{facts.campaign}", "recordings", "by-date", "by-number"]
        before = [await age_ms(tree, path) for path in folders]
        made = recording(1, call_id=facts.call, created_ms=created_ms)
        await tree.catalog.write(
            lambda db: upserts.put_recording(db, made, call_id=facts.call, campaign_id=facts.campaign)
        )
        assert [await age_ms(tree, path) for path in folders] == before


async def test_first_seen_is_kept(served: Serve, world: Open) -> None:
    """Where no time is known, files and folders are as old as the first sight of them, in every later mount: an rsync
    copies nothing again."""
    standin = served(send_last_modified=False)
    facts = Facts(standin)
    paths = [
        f"{facts.folder}/{facts.file}.wav",
        facts.folder,
        f"campaigns/{facts.campaign}",
        f"{facts.folder}/call.json",
    ]
    seen = []
    for _mount in range(2):
        async with world(standin, v2=False) as tree:
            await tree.names(facts.folder)
            await tree.data(paths[0])
            seen.append([await age_ms(tree, path) for path in paths])
            await tree.names(facts.folder)
            assert [await age_ms(tree, path) for path in paths] == seen[-1]
    assert seen[0] == seen[1]
    assert None not in seen[0]
