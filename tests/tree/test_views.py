"""The views by date, number and label: which recordings, names, nodes, and costs."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cffs.catalog.upserts import put_call
from cffs.core.names import encode_name
from cffs.standin.thread import StandinThread
from cffs.tree.nodes import Kind, Node
from cffs.tree.routes import FOLDERS
from tests.catalog.factories import call as new_call
from tests.catalog.factories import recording as new_recording
from tests.tree.sample_account import MISSING, VIEWS, Facts, Open, Serve, attempt_of, calls_of, listed
from tests.tree.world import World


def expected(standin: StandinThread, zone: str = "UTC") -> Counter[tuple[str, int]]:
    """(folder, recording id) of every folder that shows a recording in by-date, by-number and by-label."""
    found: Counter[tuple[str, int]] = Counter()
    for call, recordings in calls_of(standin):
        for recording in recordings:
            made = datetime.fromtimestamp(recording["created"] / 1000, tz=UTC).astimezone(ZoneInfo(zone))
            found[f"by-date/{made:%Y/%m/%d}", recording["id"]] += 1
            attempt = attempt_of(call, recording)
            numbers = {call.get("fromNumber"), call.get("toNumber"), attempt.get("toNumber")}
            for number in numbers - {None, ""}:
                found[f"by-number/{number}", recording["id"]] += 1
            for label in {*call["labels"], *attempt.get("labels", ())}:
                found[f"by-label/{encode_name(label)}", recording["id"]] += 1
    return found


def placed(found: dict[str, Node], prefix: str = "by-") -> Counter[tuple[str, int]]:
    """(folder, recording id) of every file that a walk found."""
    return Counter(
        (path.rpartition("/")[0], node.recording_id)
        for path, node in found.items()
        if node.kind is Kind.MP3 and path.startswith(prefix)
    )


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/New_York"])
async def test_every_recording_once_where_it_belongs(served: Serve, world: Open, zone: str) -> None:
    """A walk of every view finds each recording exactly once in each folder it belongs to, as the node it is under
    campaigns/ or calls/, and costs no request once the account was listed."""
    standin = served(calls=300, recordings_per_call=2)
    async with world(standin, timezone=zone) as tree:
        elsewhere = {node for top in ("campaigns", "calls") for node in (await tree.walk(top)).values()}
        before = tree.requests()
        found = {path: node for view in VIEWS for path, node in (await tree.walk(view)).items()}
        assert placed(found) == expected(standin, zone)
        mp3s = {node for node in found.values() if node.kind is Kind.MP3}
        assert mp3s <= elsewhere
        assert len(mp3s) == 600
        numbers = {tree.namespace.inodes.number(node) for node in mp3s}
        assert numbers == {tree.namespace.inodes.number(n) for n in elsewhere if n.kind is Kind.MP3}
        assert tree.requests() == before


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_every_recording_of_a_large_account(served: Serve, world: Open) -> None:
    """A walk of 100,000 calls finds each recording exactly once in each folder it belongs to."""
    standin = served(calls=100_000, recordings_per_call=1)
    async with world(standin, timeout_seconds=120.0) as tree:
        await tree.names("recordings")
        before = tree.requests()
        found: Counter[tuple[str, int]] = Counter()
        inodes: dict[int, int] = {}

        async def walk(path: str, folder: Node) -> None:
            for entry in await tree.entries_of(folder):
                if entry.node.kind is Kind.MP3:
                    ident, number = entry.node.recording_id, tree.namespace.inodes.number(entry.node)
                    found[path, ident] += 1
                    assert inodes.setdefault(ident, number) == number
                elif entry.node.kind in FOLDERS:
                    await walk(f"{path}/{entry.name}", entry.node)

        for view in VIEWS:
            await walk(view, await tree.node(view))
        assert found == expected(standin)
        assert len(inodes) == 100_000
        assert tree.requests() == before


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
async def test_names(world: Open, standin: StandinThread, zone: str) -> None:
    """A file is named by its moment, direction, the other party's number, length, name and id, and holds that
    recording."""
    async with world(timezone=zone) as tree:
        for call, recordings in calls_of(standin):
            for recording in recordings:
                name = f"{listed(call, recording, zone)}.mp3"
                day = name[:10].replace("-", "/")
                assert name in await tree.names(f"by-date/{day}")
                assert name in await tree.names(f"by-number/{call['toNumber']}")
        assert await tree.data(f"by-date/{day}/{name}") == await tree.data(f"recordings/{recording['id']}.mp3")


async def test_the_number_of_another_attempt(world: Open, standin: StandinThread) -> None:
    """A recording of a call's second attempt is named by the number that was dialed in it, and is found under that
    number and the call's, and under the labels of both."""
    account = standin.account
    record = {"id": 1, "toNumber": "12135550001", "labels": ["tried"], "recordings": []}
    other = {"id": 2, "toNumber": "12135550002", "labels": ["second"], "recordings": []}
    call = account.add_call(
        recordings=0, fromNumber="9", toNumber="12135550001", labels=["both"], inbound=False, records=[record, other]
    )
    ident = account.add_recording(call, attempt=1)
    async with world() as tree:
        name = next(name for name in await tree.names("by-number/12135550002") if name.endswith(f"_{ident}.mp3"))
        assert "_out_12135550002_" in name
        for folder in ("by-number/12135550001", "by-number/9", "by-label/both", "by-label/second"):
            assert name in await tree.names(folder)
        for search in ("number=12135550001", "number=12135550002", "to=12135550001", "to=12135550002", "label=second"):
            assert name in await tree.names(f"search/{search}")
        with pytest.raises(MISSING):
            await tree.node("by-label/tried")


async def test_path_on_a_fresh_mount(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A view's path opens before anything was listed: the first lookup waits for the calls, once."""
    row = standin.account.call_row(facts.call)
    assert row
    async with world() as tree:
        await tree.node(f"by-number/{row['toNumber']}")
        assert {record.kind for record in standin.requests} == {"findCalls"}
        before = tree.requests()
        for path in ("by-number/19995550199", "by-label/nobody", "by-date/2024/06/31", "by-date/2024/13"):
            with pytest.raises(MISSING):
                await tree.node(path)
        assert await tree.names("by-date/1999/01/01") == []
        assert tree.requests() == before


async def test_neither_date_nor_number(world: Open, standin: StandinThread) -> None:
    """A recording without a usable time is in no day, one of a call without numbers or labels in no such folder; where
    it is shown, its name says so."""
    account = standin.account
    hostile = [None, -1, 0, 2**62, -(2**62), "x"]
    for created in hostile:
        ident = account.add_call(recordings=0, fromNumber="", toNumber=None, labels=["odd"], inbound=True)
        account.add_recording(ident, seconds=5, name="x", created=created)
    async with world() as tree:
        odd = await tree.walk("by-label/odd")
        assert len(odd) == len(hostile)
        assert all(path.startswith("by-label/odd/in_unknown_0m05s_x_") for path in odd)
        dated = {node.recording_id for path, node in (await tree.walk("by-date")).items() if node.kind is Kind.MP3}
        assert not dated & {node.recording_id for node in odd.values()}
        numbered = {node.recording_id for node in (await tree.walk("by-number")).values() if node.kind is Kind.MP3}
        assert not numbered & {node.recording_id for node in odd.values()}


HOSTILE = ("", " ", ".", "..", "a/b", "a%2Fb", "-rf", ".git", "._x", "x" * 300, "ü" * 200, "é", "é", "\ud800", "nul\0",
           "playlist.m3u8", "é ~1", "a\nb", "\u202eabc")  # fmt: skip


async def test_hostile_labels_and_numbers(world: Open, standin: StandinThread) -> None:
    """Labels and numbers that no file name can hold, that are equal or empty, each have at most one folder, which opens
    by its name and holds the call's recording."""
    account = standin.account
    for text in HOSTILE:
        account.add_call(recordings=1, labels=[text, text], fromNumber=text, toNumber="1999")
    async with world() as tree:
        for view in ("by-label", "by-number"):
            found = await tree.walk(view)
            folders = [path for path, node in found.items() if node.kind in (Kind.ONE_LABEL, Kind.ONE_NUMBER)]
            assert len(folders) == len(set(folders))
            for folder in folders:
                assert len(folder.partition("/")[2].encode()) <= 255
                assert await tree.names(folder), folder
            known = {tree.catalog.views.folder(view.removeprefix("by-"), path.partition("/")[2]) for path in folders}
            texts = [folder.text for folder in known if folder]
            named = {text for text in HOSTILE if text.strip()}
            assert named <= {*texts, "\ud800"}
        assert len(await tree.names("by-number/1999")) == len(HOSTILE)


async def test_changed_labels_move_a_recording(world: Open, standin: StandinThread) -> None:
    """A call that gets another label is in that label's folder from the next listing on, and not in the old one."""
    ident = standin.account.add_call(recordings=1, labels=["old"])
    async with world(dir_ttl_seconds=0.0) as tree:
        assert len(await tree.names("by-label/old")) == 1
        standin.account.set_call(ident, labels=["new"])
        await tree.names("by-label/old")
        await tree.listings._listings["recordings"].wait_whole()
        assert await tree.names("by-label/old") == []
        assert len(await tree.names("by-label/new")) == 1
        assert "old" not in await tree.names("by-label")


async def test_read_while_rows_change(world: Open, standin: StandinThread) -> None:
    """A folder that is read page by page while calls come, change and go to another label shows each recording that
    stays exactly once, and what came meanwhile at most once."""
    account = standin.account
    stay = [account.add_call(recordings=1, labels=["both"]) for _ in range(450)]
    async with world() as tree:
        await tree.names("recordings")
        listing = tree.listings.refreshed("calls")
        assert listing is not None
        await listing.wait_whole()
        node = await tree.node("by-label/both")
        found: list[int] = []
        after, page = 0, 0
        while entries := await tree.namespace.page(node, after=after):
            found += [entry.node.recording_id for entry in entries]
            after, page = entries[-1].offset, page + 1

            def change(db: Any, page: int = page) -> None:
                put_call(db, new_call(page, labels=("both",), recordings=(new_recording(page, call_id=page),)))
                put_call(db, new_call(stay[page], labels=("both", "more"), from_number="1"))

            if page < 5:
                await tree.catalog.write(change)
        assert page >= 3
        assert max(Counter(found).values()) == 1
        assert set(found) >= {ident for call in stay for ident in account.recording_ids(call)}


async def test_names_are_kept(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A file's name in a view is given once: where the service corrects numbers or times later, the recording moves to
    the folders that it now belongs to, under the name it has; what was unknown becomes part of a name once."""
    call = standin.account.call_row(facts.call) or {}
    records = [{**record, "toNumber": "", "recordings": []} for record in call["records"]]
    standin.account.set_call(facts.call, fromNumber="", toNumber="", records=records)
    async with world(dir_ttl_seconds=0.0) as tree:

        async def shown(view: str) -> list[str]:
            """Where the recording is, once what is new was listed."""
            listing = tree.listings.refreshed("calls")
            assert listing is not None
            await listing.wait_whole()
            found = [path for path, node in (await tree.walk(view)).items() if node.kind is Kind.MP3]
            return [path for path in found if path.endswith(f"_{facts.id}.mp3")]

        (unknown,) = await shown("by-date")
        assert "_unknown_" in unknown
        row = standin.account.recording_row(facts.id) or {}
        standin.account.set_call(facts.call, fromNumber="12135550001", toNumber="12135550002", inbound=False)
        (first,) = await shown("by-date")
        assert "_12135550002_" in first
        standin.account.set_call(facts.call, fromNumber="12135550003", toNumber="12135550004", inbound=True)
        standin.account.set_recording(facts.id, created=row["created"] + 86_400_000)
        (second,) = await shown("by-date")
        name = first.rpartition("/")[2]
        assert second.rpartition("/")[2] == name
        assert second.rpartition("/")[0] != first.rpartition("/")[0]
        numbers = {path.split("/")[1] for path in await shown("by-number") if path.endswith(name)}
        assert numbers == {"12135550003", "12135550004"}
        assert await tree.node(second)


async def test_wav_form(world: Open, facts: Facts) -> None:
    """Where listings show WAVs, a view lists those that v1 has listed; a lookup finds the other form in any case."""
    async with world(formats=("mp3", "wav")) as tree:
        await tree.names(facts.folder)
        day = datetime.fromtimestamp(facts.recording["created"] / 1000, tz=UTC)
        names = await tree.names(f"by-date/{day:%Y/%m/%d}")
        wavs = [name for name in names if name.endswith(".wav")]
        assert len(wavs) == len(facts.recordings)
        mp3 = next(name for name in names if name.endswith(f"_{facts.id}.mp3"))
        assert await tree.node(f"by-date/{day:%Y/%m/%d}/{mp3[:-4]}.wav") == await tree.node(
            f"recordings/{facts.id}.wav"
        )


async def test_only_its_own_name_opens(world: Open, facts: Facts) -> None:
    """A recording opens in a view under the one name that is listed, and in no folder that it does not belong to."""
    async with world() as tree:
        day = datetime.fromtimestamp(facts.recording["created"] / 1000, tz=UTC).date()
        folder = f"by-date/{day:%Y/%m/%d}"
        name = next(name for name in await tree.names(folder) if name.endswith(f"_{facts.id}.mp3"))
        other = f"by-date/{date(day.year, day.month, 2):%Y/%m/%d}"
        for path in (
            f"{folder}/_{facts.id}.mp3",
            f"{folder}/x{name}",
            f"{other}/{name}",
            f"by-label/vip%2Fgold/x{name}",
        ):
            with pytest.raises(MISSING):
                await tree.node(path)


async def _tops(tree: World) -> list[str]:
    return [name for name in await tree.names() if name in VIEWS]


async def test_views_need_v2(world: Open) -> None:
    """With v1 alone, which knows neither times nor names, there are no views."""
    async with world(v2=False) as tree:
        assert await _tops(tree) == []
        for view in (*VIEWS, "search"):
            with pytest.raises(MISSING):
                await tree.node(view)
