"""The table of routes: every path has exactly one kind, and the picture shows all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.tree.handler_table import HANDLERS
from cffs.tree.node_handlers import no_content, no_entries
from cffs.tree.nodes import Kind
from cffs.tree.routes import FOLDERS, ROUTES, picture, routes_of

HASH = "0123456789abcdef0123456789abcdef"
DYNAMIC = f"dynamic/{HASH}/2012/8/7654321"

#: These stand in for nodes of other kinds.
UNPROVEN = {Kind.UNPROVEN_FOLDER, Kind.UNPROVEN_FILE}
#: Every path of the tree, and its kind.
PATHS: dict[str, Kind] = {
    "README.txt": Kind.README,
    "campaigns": Kind.CAMPAIGNS,
    "campaigns/Winback": Kind.CAMPAIGN,
    "campaigns/4490010003 ~7": Kind.CAMPAIGN,
    "campaigns/2026-11": Kind.CAMPAIGN,
    "campaigns/calls": Kind.CAMPAIGN,
    "campaigns/٣": Kind.CAMPAIGN,
    "campaigns/Winback/campaign.json": Kind.CAMPAIGN_JSON,
    "campaigns/Winback/playlist.m3u8": Kind.PLAYLIST,
    "campaigns/Winback/2026-11-22_10.15.00_in_12135550100_2m05s_9.mp3": Kind.MP3,
    "campaigns/Winback/9.wav": Kind.WAV,
    "campaigns/Winback/calls": Kind.CAMPAIGN_CALLS,
    "campaigns/Winback/calls/2026-11-22_10.15.00_in_12135550100_2m05s_7": Kind.CALL,
    "campaigns/Winback/calls/unknown_7": Kind.CALL,
    "campaigns/Winback/calls/7": Kind.CALL,
    "campaigns/Winback/7": Kind.CALL,
    "campaigns/Winback/7/x.mp3": Kind.MP3,
    "campaigns/5/calls/7/x.mp3": Kind.MP3,
    "campaigns/5": Kind.CAMPAIGN,
    "campaigns/9223372036854775807": Kind.CAMPAIGN,
    "campaigns/5/campaign.json": Kind.CAMPAIGN_JSON,
    "campaigns/5/7": Kind.CALL,
    "campaigns/5/7/call.json": Kind.CALL_JSON,
    "recordings/index.jsonl": Kind.INDEX_JSONL,
    "search/number=1/index.csv": Kind.INDEX_CSV,
    "campaigns/5/7/x.srt": Kind.NOTE,
    "campaigns/Winback/x_9.json": Kind.NOTE,
    "recordings/9.TextGrid": Kind.NOTE,
    "campaigns/5/7/88.wav": Kind.WAV,
    "campaigns/5/7/call_recording.mp3": Kind.MP3,
    "campaigns/5/7/call_recording.json": Kind.RECORDING_JSON,
    "campaigns/5/7/call_recording.wav": Kind.WAV,
    "campaigns/5/7/a.b.mp3.mp3": Kind.MP3,
    "campaigns/5/7/call.mp3": Kind.MP3,
    "campaigns/5/7/\n.mp3": Kind.MP3,
    "calls": Kind.CALLS,
    "calls/7": Kind.LONE_CALL,
    "calls/7/call.json": Kind.CALL_JSON,
    "calls/7/88.wav": Kind.WAV,
    "calls/7/x.mp3": Kind.MP3,
    "calls/7/x.json": Kind.RECORDING_JSON,
    "calls/2026-11": Kind.CALL_MONTH,
    "calls/undated": Kind.CALL_MONTH,
    "calls/2026-11/2026-11-22_10.15.00_in_12135550100_2m05s_7": Kind.LONE_CALL,
    "calls/2026-11/7": Kind.LONE_CALL,
    "calls/undated/unknown_7/call.json": Kind.CALL_JSON,
    "recordings": Kind.RECORDINGS,
    "recordings/9.wav": Kind.WAV,
    "recordings/9.mp3": Kind.MP3,
    "recordings/9.json": Kind.RECORDING_JSON,
    "recordings/9@0-60.wav": Kind.MOMENT,
    "recordings/9@12.5-60.25.wav": Kind.MOMENT,
    "dynamic": Kind.DYNAMIC,
    f"dynamic/{HASH}": Kind.DYNAMIC_HASH,
    "dynamic/A-_zA-_z": Kind.DYNAMIC_HASH,
    f"dynamic/{HASH}/2012": Kind.DYNAMIC_YEAR,
    f"dynamic/{HASH}/2012/8": Kind.DYNAMIC_MONTH,
    f"dynamic/{HASH}/2012/08": Kind.DYNAMIC_MONTH,
    f"dynamic/{HASH}/2012/12": Kind.DYNAMIC_MONTH,
    f"dynamic/{HASH}/2012/12/007": Kind.DYNAMIC_CAMPAIGN,
    f"dynamic/{HASH}/2012/12/0": Kind.DYNAMIC_CAMPAIGN,
    DYNAMIC: Kind.DYNAMIC_CAMPAIGN,
    f"{DYNAMIC}/cid_1_1.wav": Kind.DYNAMIC_FILE,
    f"{DYNAMIC}/cid_1_1.mp3": Kind.DYNAMIC_FILE,
    f"{DYNAMIC}/anything at all": Kind.DYNAMIC_FILE,
    "media": Kind.MEDIA,
    "media/5": Kind.MEDIA_RAW,
    "media/5.json": Kind.MEDIA_JSON,
    "media/by-name": Kind.MEDIA_BY_NAME,
    "media/public": Kind.MEDIA_PUBLIC,
    **{f"media/5.{ext}": Kind.MEDIA_FILE for ext in ["bmp", "gif", "jpg", "jpeg", "m4a", "mp3", "mp4", "png", "wav"]},
    "media/5.3gp": Kind.MEDIA_FILE,
    "media/by-name/a.b.png": Kind.MEDIA_FILE,
    "media/by-name/a.vcf": Kind.MEDIA_FILE,
    "media/by-name/a": Kind.MEDIA_RAW,
    "media/by-name/a.json": Kind.MEDIA_RAW,
    "media/by-name/a. b": Kind.MEDIA_RAW,
    "media/public/0a1b-2c.3gp": Kind.MEDIA_PUBLIC_FILE,
    "media/public/0a1b-2c.jpeg": Kind.MEDIA_PUBLIC_FILE,
    "media/public/x.y.mp3": Kind.MEDIA_PUBLIC_FILE,
    "me": Kind.ME,
    "me/account.json": Kind.ACCOUNT_JSON,
    "me/billing": Kind.BILLING,
    "me/billing/plan-usage.json": Kind.PLAN_USAGE_JSON,
    "me/billing/credit-usage.json": Kind.CREDIT_USAGE_JSON,
    "me/billing/credit-usage": Kind.CREDIT_USAGE,
    "me/billing/credit-usage/2016-09.json": Kind.CREDIT_USAGE_INTERVAL_JSON,
    "me/billing/credit-usage/2016-09-01..2016-09-13.json": Kind.CREDIT_USAGE_INTERVAL_JSON,
    "me/callerids": Kind.CALLER_IDS,
    "me/callerids/12135550100": Kind.CALLER_ID,
    "me/callerids/12135550100/verification-code": Kind.VERIFICATION_CODE,
    "me/api": Kind.ME_API,
    "me/api/credentials": Kind.CREDENTIALS,
    "me/api/credentials/5.json": Kind.CREDENTIAL_JSON,
    "me/api/credentials/nightly export": Kind.CREATED_CREDENTIAL,
    "me/api/credentials/nightly export/credential.json": Kind.CREATED_CREDENTIAL_JSON,
    "by-date": Kind.BY_DATE,
    "by-date/2026": Kind.YEAR,
    "by-date/2026/11": Kind.MONTH,
    "by-date/2026/11/22": Kind.DAY,
    "by-date/2026/11/22/2026-11-22_10.15.00_in_12135550100_2m05s_9.mp3": Kind.MP3,
    "by-date/2026/11/22/playlist.m3u8": Kind.PLAYLIST,
    "by-number": Kind.BY_NUMBER,
    "by-number/+1 (213) 555": Kind.ONE_NUMBER,
    "by-label": Kind.BY_LABEL,
    "by-label/vip%2Fgold": Kind.ONE_LABEL,
    "search": Kind.SEARCHES,
    "search/README.txt": Kind.SEARCH_README,
    "search/number=1&label=a%26b": Kind.SEARCH,
    "campaigns/5/playlist.m3u8": Kind.PLAYLIST,
    "campaigns/5/7/playlist.m3u8": Kind.PLAYLIST,
    "campaigns/5/MANIFEST.sha256": Kind.MANIFEST,
    "recordings/MANIFEST.sha256": Kind.MANIFEST,
    ".cffs": Kind.OWN,
    ".cffs/status.json": Kind.OWN_FILE,
    ".cffs/metrics": Kind.OWN_FILE,
    ".cffs/inflight.json": Kind.OWN_FILE,
    ".cffs/config.toml": Kind.OWN_FILE,
}
NO_PATHS = (
    "campaigns/0",
    "campaigns/007",
    "campaigns/9223372036854775808",
    "campaigns/99999999999999999999",
    "campaigns/5/0",
    "campaigns/5/07",
    "campaigns/5/call.json",
    "campaigns/Winback/2026-11",
    "campaigns/Winback/calls/x",
    "campaigns/Winback/calls/x_07",
    "campaigns/Winback/unknown_7",
    "campaigns/5/7/.mp3",
    "campaigns/5/7/x.doc",
    "campaigns/5/7/x",
    "calls/0",
    "calls/2026-13",
    "calls/unknown_7",
    "calls/2026-11/x",
    "recordings/09.mp3",
    "recordings/9",
    "recordings/name.mp3",
    "recordings/9.ogg",
    "recordings/9@1-2.mp3",
    "recordings/9@-1-2.wav",
    "recordings/9@1-.wav",
    "recordings/9@1e3-2e3.wav",
    "dynamic/short",
    f"dynamic/{'x' * 129}",
    f"dynamic/{HASH}/212",
    f"dynamic/{HASH}/20122",
    f"dynamic/{HASH}/2012/0",
    f"dynamic/{HASH}/2012/00",
    f"dynamic/{HASH}/2012/13",
    f"dynamic/{HASH}/2012/008",
    f"dynamic/{HASH}/2012/8/x",
    "media/05.mp3",
    "media/5.JPG",
    "media/5.ninechars",
    "media/5.MP3",
    "media/name.mp3",
    "media/public/a b.png",
    "media/public/.png",
    "me/account",
    "me/billing/credit-usage/2016-13.json",
    "me/billing/credit-usage/2016-9.json",
    "me/billing/credit-usage/2016-09-01...json",
    "me/api/credentials/x.json",
    "by-date/26",
    "by-date/2026/1",
    "by-date/2026/11/2",
    "by-number/1/x.xml",
    "media/playlist.m3u8",
    ".cffs/secrets",
    "nothing",
    "campaigns/..",
)


def kinds_of(path: str) -> list[Kind]:
    """Every kind that the last name of a path matches, where names before it count as their first match; without what
    only this mount can have made."""
    kinds = [Kind.ROOT]
    for name in path.split("/"):
        routes = [route for route in routes_of(kinds[0]) if route.asks] if kinds else []
        kinds = [route.kind for route in routes if route.match(name) is not None]
    return kinds


@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_every_path_has_its_kind(path: str) -> None:
    """Each path is of its own kind first (`{file}.wav` is also a name, but of the same kind of file)."""
    kinds = kinds_of(path)
    assert kinds[0] is PATHS[path]
    assert len(set(kinds)) == 1 or path.endswith(("/call.json", "/by-name", "/public", "/README.txt"))


def test_paths_cover_the_table() -> None:
    """The list above has every kind there is, except for what can have any name."""
    assert set(PATHS.values()) | {Kind.ROOT, Kind.UPLOAD, Kind.TEMPORARY_NOTE} == set(Kind) - UNPROVEN


@given(st.text(min_size=1, max_size=60))
def test_any_name_may_be_written(name: str) -> None:
    """In media/ a file that is being written is looked for first, whatever its name, and without a question."""
    first = routes_of(Kind.MEDIA)[0]
    assert (first.kind, first.asks) == (Kind.UPLOAD, False)
    assert first.match(name) == {"new_name": name}
    assert [route.kind for route in ROUTES if not route.asks] == [
        route.kind for route in ROUTES if route.kind in (Kind.UPLOAD, Kind.TEMPORARY_NOTE)
    ]


@pytest.mark.parametrize("path", NO_PATHS, ids=ascii)
def test_not_well_formed(path: str) -> None:
    """Ids in any but the one spelling, impossible months and extensions, and other names match nothing."""
    assert kinds_of(path) == []


@given(st.integers(-(2**70), 2**70), st.sampled_from(["", "0", " ", "+", "-"]))
def test_ids_have_one_spelling(number: int, prefix: str) -> None:
    """A name below calls/ is a call only in its canonical form of 1 to 2^63 - 1."""
    matched = kinds_of(f"calls/{prefix}{number}") == [Kind.LONE_CALL]
    assert matched == (prefix == "" and 1 <= number < 2**63)


@given(st.text(max_size=20), st.sampled_from(sorted(FOLDERS, key=lambda kind: kind.name)))
def test_no_name_raises(name: str, parent: Kind) -> None:
    """Matching is total."""
    for route in routes_of(parent):
        route.match(name)


def test_every_kind_has_its_row() -> None:
    """Each kind has handlers; folders have entries and no content, files the reverse; files stand in a folder."""
    assert set(HANDLERS) == set(Kind) - UNPROVEN
    for kind, handlers in HANDLERS.items():
        assert (handlers.entries is no_entries) == (kind not in FOLDERS), kind
        assert (handlers.content is no_content) == (kind in FOLDERS), kind
        assert set(handlers.resolve_in) <= {route.parent for route in ROUTES if route.kind is kind}
    assert {route.parent for route in ROUTES} <= FOLDERS
    assert {route.kind for route in ROUTES} | {Kind.ROOT} == set(Kind) - UNPROVEN
    listings = {handlers.listing for handlers in HANDLERS.values()}
    assert listings == {"", "campaigns", "calls", "recordings", "media"}


def test_picture() -> None:
    """The picture has one line a row, each with its name and what it is, and nothing twice; temporary names are not
    shown."""
    lines = picture().splitlines()
    assert lines[0] == "/"
    shown = [route for route in ROUTES if route.kind is not Kind.TEMPORARY_NOTE]
    assert len(lines) == len(shown) + 1
    for route in shown:
        name = route.pattern + ("/" if route.is_folder else "")
        assert any(f"── {name} " in line and route.about in line for line in lines), name
    assert all(len(line) <= 120 for line in lines)
