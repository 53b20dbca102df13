"""Every path of the tree against the stand-in: what opens, and what a walk finds."""

from typing import Any

import pytest

from cffs.core.json_values import decode
from cffs.tree.inodes import ROOT
from cffs.tree.nodes import Kind
from cffs.tree.routes import FOLDERS
from tests.tree.sample_account import VIEWS, Facts, Open, Serve, folder_paths

#: (v1, v2): the credentials that a user may have.
BOTH, V1_ONLY, V2_ONLY = (True, True), (True, False), (False, True)
GIVEN = [BOTH, V1_ONLY, V2_ONLY]


def audio_paths(facts: Facts, *, v1: bool, v2: bool, seed_only: bool) -> dict[str, str]:
    """{path in the tree: path of its bytes at the origin} of what the credentials and the origin can open."""
    mp3 = f"/v2/calls/recordings/{facts.id}.mp3"
    wav = f"/cloud/1/files/recording/{facts.file}"
    dynamic = "/cloud/1/files/recording/dynamic/" + "/".join(facts.dynamic.parts)
    stem = facts.dynamic.filename.removesuffix(".wav")
    found: dict[str, str] = {}
    if v1:
        found |= {
            f"{facts.folder}/{facts.file}.wav": wav,
            f"recordings/{facts.file}.wav": wav,
            f"{facts.dynamic_folder}/{facts.dynamic.filename}": dynamic,
            f"{facts.dynamic_folder}/{stem}.mp3": f"{dynamic}/mp3",
        }
    if v2:
        key = facts.media_key
        found |= {
            f"{facts.folder}/{facts.name}.mp3": mp3,
            f"calls/{facts.call}/{facts.name}.mp3": mp3,
            f"media/{facts.jpg}.jpg": f"/v2/media/{facts.jpg}/file",
            f"media/{facts.jpg}.jpeg": f"/v2/media/{facts.jpg}/file",
            f"media/{facts.jpg}": f"/v2/media/{facts.jpg}/file",
            f"media/{facts.png}.png": f"/v2/media/{facts.png}/file",
            f"media/public/{key}.jpg": f"/v2/media/{facts.jpg}/file",
            f"media/public/{key}.jpeg": f"/v2/media/{facts.jpg}/file",
        }
    if v2 and not seed_only:
        found |= {f"recordings/{facts.id}.mp3": mp3, f"{facts.folder}/{facts.id}.mp3": mp3}
    if v1 and v2 and not seed_only:
        found |= {
            f"{facts.folder}/{facts.name}.wav": wav,
            f"calls/{facts.call}/{facts.file}.wav": wav,
            f"calls/{facts.lone_call}/{facts.lone_recording['id']}.wav": (
                f"/cloud/1/files/recording/{facts.lone_recording['id']}"
            ),
        }
    return found


def document_paths(facts: Facts, *, v2: bool, seed_only: bool) -> dict[str, dict[str, Any]]:
    """{path: some fields of the document} of what opens."""
    found: dict[str, dict[str, Any]] = {
        f"campaigns/{facts.campaign}/campaign.json": {"id": facts.campaign},
        f"{facts.folder}/call.json": {"id": facts.call, "campaignId": facts.campaign},
    }
    if v2:
        found |= {
            f"{facts.folder}/{facts.name}.json": {"id": facts.id, "name": facts.name, "callId": facts.call},
            f"calls/{facts.call}/call.json": {"id": facts.call},
            f"media/{facts.jpg}.json": {"id": facts.jpg},
            "me/account.json": {"name": "Ada Example"},
            "me/billing/plan-usage.json": {"remainingPlanCredits": 2341.5},
            "me/billing/credit-usage.json": {"intervalBegin": 0},
            "me/billing/credit-usage/2024-05.json": {"intervalBegin": 1714521600000, "intervalEnd": 1717200000000},
            "me/billing/credit-usage/2024-05-01..2024-05-02.json": {
                "intervalBegin": 1714521600000,
                "intervalEnd": 1714694400000,
            },
            f"me/api/credentials/{facts.credential}.json": {"id": facts.credential},
        }
    if v2 and not seed_only:
        found |= {
            f"recordings/{facts.id}.json": {"id": facts.id},
            f"campaigns/{facts.campaign}/campaign.json": {"status": "FINISHED"},
        }
        found[f"campaigns/{facts.campaign}/campaign.json"] = {"maxActive": 100}
    return found


@pytest.mark.parametrize("seed_only", [False, True], ids=["all", "seeds"])
@pytest.mark.parametrize(("v1", "v2"), GIVEN, ids=["both", "v1", "v2"])
@pytest.mark.parametrize("differ", [False, True], ids=["same-ids", "own-ids"])
async def test_every_path_opens(served: Serve, world: Open, v1: bool, v2: bool, seed_only: bool, differ: bool) -> None:
    """Every path that the credentials and the origin can answer opens by lookup, cold, is described right, and holds
    the origin's bytes (`cffs/docs/semantics.md#the-tree`)."""
    standin = served(seed_only=seed_only, v1_ids_differ=differ)
    facts = Facts(standin)
    if differ:  # nothing ties the two ids together then: by v1's id only
        facts.lone_recording = {"id": standin.account.v1_file_id(facts.lone_recording["id"])}
    async with world(standin, v1=v1, v2=v2) as tree:
        for path in folder_paths(facts, v1=v1, v2=v2):
            assert (await tree.describe(path)).is_folder, path
        for path, origin in audio_paths(facts, v1=v1, v2=v2, seed_only=seed_only).items():
            if differ and (path.startswith("calls/") or facts.name in path) and path.endswith(".wav"):
                continue
            data = await tree.data(path)
            assert data == facts.true_bytes(origin, standin), path
            described = await tree.describe(path)
            assert (described.is_folder, described.is_exact, described.nbytes) == (False, True, len(data)), path
            assert described.modified_ns is not None
        for path, fields in document_paths(facts, v2=v2, seed_only=seed_only).items():
            document = decode(await tree.text(path), what=path)
            assert isinstance(document, dict)
            assert {name: document.get(name) for name in fields} == fields, path
            described = await tree.describe(path)
            assert described.nbytes in (None, len(await tree.text(path))), path


@pytest.mark.parametrize("seed_only", [False, True], ids=["all", "seeds"])
@pytest.mark.parametrize(("v1", "v2"), GIVEN, ids=["both", "v1", "v2"])
async def test_walk(served: Serve, world: Open, v1: bool, v2: bool, seed_only: bool) -> None:
    """`find` over everything fails nowhere, whatever is offered. Every name that is listed opens, as the same node; no
    name is twice in a folder, and offsets ascend."""
    standin = served(seed_only=seed_only)
    async with world(standin, v1=v1, v2=v2) as tree:
        found = await tree.walk()
        for path, node in {"": ROOT, **found}.items():
            if node.kind in FOLDERS:
                entries = await tree.entries_of(node)
                assert len({entry.name for entry in entries}) == len(entries), path
                offsets = [entry.offset for entry in entries]
                assert offsets == sorted(set(offsets))
                assert all(0 < offset < 2**63 for offset in offsets)
        kinds = [node.kind for path, node in found.items() if not path.startswith(VIEWS)]
        recordings = 48
        if v2 and not seed_only:
            in_campaigns = sum(path.startswith("campaigns/") and node.kind is Kind.MP3 for path, node in found.items())
            lone = sum(
                not (standin.account.call_row(ident) or {})["campaignId"] for ident in standin.account.call_ids()
            )
            assert kinds.count(Kind.CALL) == 24 - lone
            assert kinds.count(Kind.LONE_CALL) == 24
            assert in_campaigns == 2 * 2 * (24 - lone)  # flat, and in the folders of their calls
            assert kinds.count(Kind.MP3) == in_campaigns + 2 * recordings  # and below calls/ and recordings/
            assert kinds.count(Kind.RECORDING_JSON) == in_campaigns // 2 + recordings
            assert kinds.count(Kind.MEDIA_FILE) == 2 * 19  # by id and by name
            assert kinds.count(Kind.MEDIA_RAW) == 2  # of an unknown type
            assert kinds.count(Kind.MEDIA_PUBLIC_FILE) == 19
        else:
            assert Kind.MP3 not in kinds
        assert (Kind.DYNAMIC in kinds) == v1
        assert (Kind.CREDENTIAL_JSON in kinds) == v2


async def test_numbers_in_listing_order(world: Open) -> None:
    """Inode numbers of a folder's files ascend as the folder lists them, so that tools which sort by inode read on."""
    async with world() as tree:
        for path in ("campaigns", "recordings", "media/by-name"):
            entries = await tree.entries(path)
            numbers = [tree.namespace.inodes.number(entry.node) for entry in entries]
            assert len(numbers) > 2
            assert numbers == sorted(numbers), path


async def test_same_node_in_every_view(world: Open, facts: Facts) -> None:
    """A recording has one number wherever it is shown; folders of a call have one each."""
    async with world() as tree:
        number = tree.namespace.inodes.number
        paths = [
            f"{facts.folder}/{facts.name}.mp3",
            f"calls/{facts.call}/{facts.name}.mp3",
            f"recordings/{facts.id}.mp3",
        ]
        assert len({number(await tree.node(path)) for path in paths}) == 1
        assert number(await tree.node(facts.folder)) != number(await tree.node(f"calls/{facts.call}"))
        jpg = f"media/{facts.jpg}"
        assert number(await tree.node(f"{jpg}.jpg")) == number(await tree.node(f"{jpg}.jpeg"))
        assert number(await tree.node(f"{jpg}.jpg")) != number(await tree.node(jpg))
