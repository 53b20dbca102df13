"""Imports: which URLs in a text are recordings of the origin, and nothing else."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cffs.catalog import schema, upserts
from cffs.catalog.rows import DynamicRow
from cffs.catalog.store import Catalog
from cffs.catalog.url_finder import Finding, FoundCall, FoundFile, FoundRecording, Refused, UrlFinder
from cffs.catalog.url_import import CatalogFile, Tally
from cffs.core.values import RecordingList

BASE = "https://www.callfire.com/cloud/1"
V2_BASE = "https://api.callfire.com/v2"
KEY = "CANARYKEY0123"
HASH = "0123456789abcdef0123456789abcdef"
DYNAMIC = f"{BASE}/files/recording/dynamic/{HASH}/2014/8/123/cid_1_1.wav"
ROW = DynamicRow(0, HASH, "2014", "8", "123", "cid_1_1.wav")


def found_in(text: str | bytes, *, piece_nbytes: int = 1 << 20, has_v2: bool = True) -> list[Finding]:
    """Everything that is found in a text that comes in pieces."""
    raw = text.encode() if isinstance(text, str) else text
    finder = UrlFinder(BASE, V2_BASE, has_v2=has_v2, secrets=(KEY,))
    found = [one for at in range(0, len(raw), piece_nbytes) for one in finder.feed(raw[at : at + piece_nbytes])]
    return found + list(finder.finish())


@pytest.mark.parametrize(
    "text",
    [
        DYNAMIC,
        f"{DYNAMIC}?apikey={KEY}",
        f"{DYNAMIC}/mp3?apikey={KEY}&x=1",
        f"see {DYNAMIC}.",
        f"(see {DYNAMIC})",
        f"<{DYNAMIC}>",
        f"1,{DYNAMIC}?apikey={KEY},2",
        f'"{DYNAMIC}";"x"',
        f"<RecordingUrl>{DYNAMIC}?apikey={KEY}&amp;x=1</RecordingUrl>",
        '{"url":"' + DYNAMIC.replace("/", r"\/") + '"}',
        f"redirect=https://other/?next={DYNAMIC}#frag",
        f"HTTPS://WWW.callfire.com:443/cloud/1{DYNAMIC.removeprefix(BASE)}",
        f"\x00\xff{DYNAMIC}\x00",
        DYNAMIC.replace("cid_1_1", "cid%5F1%5F1"),
        DYNAMIC.replace("https", "http"),
        DYNAMIC.replace("https://www.", "http://"),
        DYNAMIC.replace("www.callfire.com", "api.callfire.com"),
        f"&quot;{DYNAMIC}&quot;",
        f"&lt;Link&gt;{DYNAMIC}?apikey={KEY}&amp;amp;x=1&lt;/Link&gt;",
        f"&amp;lt;Link&amp;gt;{DYNAMIC}&amp;lt;/Link&amp;gt;",
        f"&#34;{DYNAMIC}&#x22;",
        DYNAMIC.replace("/", "&#x2F;").replace(":", "&#58;"),
        f'{{"url":"{DYNAMIC}"}}'.replace("/", r"\u002F"),
        f'{{"url":"{DYNAMIC}?apikey={KEY}\\u0026x"}}'.replace("/", r"\u002f"),
        f'"{{\\"url\\":\\"{DYNAMIC}\\"}}"',
        f"next={quote(DYNAMIC, safe='')}&x=1",
        f"next={quote(f'{DYNAMIC}?apikey={KEY}', safe='')}",
        f"a={quote(f'<Link>{DYNAMIC}</Link>', safe='')}",
        quote(quote(DYNAMIC, safe=""), safe=""),
        f"{DYNAMIC}\\n{{}}",
    ],
)
def test_found(text: str) -> None:
    """A URL is found in prose, CSV, XML, JSON and binary, its key and what else follows its path left behind."""
    assert found_in(text) == [ROW]


@given(st.text(").]:!?&*", max_size=60))
def test_the_end_of_a_sentence(tail: str) -> None:
    """Punctuation after a URL, and brackets that were opened before it, are not part of it; those of a name are."""
    assert found_in(f"(see [{DYNAMIC}{tail}") == [ROW]
    (row,) = found_in(f"{DYNAMIC}(1)[2]{tail}")
    assert isinstance(row, DynamicRow)
    assert row.filename == f"{ROW.filename}(1)[2]"


def test_long_tails_cost_what_they_hold() -> None:
    """Two megabytes of URLs that end in thousands of brackets cost no more than as many bytes of short ones do, within
    what a busy machine adds."""

    def seconds(tail_nbytes: int) -> float:
        text = f"{DYNAMIC}{')' * tail_nbytes}\n".encode()
        count = 2_000_000 // len(text)
        began_at = time.process_time()
        assert found_in(text * count) == [ROW] * count
        return time.process_time() - began_at

    assert seconds(8000) < 5 * seconds(60)


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("/files/recording/77", FoundFile(77)),
        (f"/files/recording/77?apikey={KEY}", FoundFile(77)),
        (f"/files/recording/dynamic/{HASH}/2014/08/1/a%20b.wav", DynamicRow(0, HASH, "2014", "08", "1", "a b.wav")),
        (f"/files/recording/dynamic/{HASH}/2014/8/007/x", DynamicRow(0, HASH, "2014", "8", "007", "x")),
        (f"/files/recording/dynamic/{HASH}/2014/8/1/%C3%A9", DynamicRow(0, HASH, "2014", "8", "1", "é")),
        (f"/files/recording/dynamic/{HASH}/2014/8/1/a&amp;b", DynamicRow(0, HASH, "2014", "8", "1", "a&b")),
    ],
)
def test_parts(path: str, row: Finding) -> None:
    """What a URL names is kept as it is spelt, its percent-escapes read."""
    assert found_in(BASE + path) == [row]


@pytest.mark.parametrize(
    ("url", "finding", "without_v2"),
    [
        (f"{V2_BASE}/calls/recordings/77.mp3", FoundRecording(77), FoundFile(77)),
        (f"{V2_BASE}/calls/recordings/77", FoundRecording(77), FoundFile(77)),
        ("https://api.callfire.com/calls/recordings/77", FoundRecording(77), FoundFile(77)),
        ("http://www.callfire.com/v2/calls/recordings/77.MP3?x=1", FoundRecording(77), FoundFile(77)),
        (f"{V2_BASE}/calls/7/recordings/call_recording.mp3", FoundCall(7), None),
        (f"{V2_BASE}/calls/7/recordings/a%20b", FoundCall(7), None),
        ("https://www.callfire.com/api/1.1/rest/call/7/call_recording.mp3", FoundCall(7), None),
        ("https://www.callfire.com/api/1.1/rest/call/7/a%2Eb.wav", FoundCall(7), None),
    ],
)
def test_other_urls_of_recordings(url: str, finding: Finding, without_v2: Finding | None) -> None:
    """v2's `mp3Url`, by id and by name, and the addresses of API 1.1; what only v2 can resolve is refused without
    it."""
    assert found_in(f'"mp3Url": "{url}",') == [finding]
    (other,) = found_in(f"{quote(url, safe='')} x", has_v2=False)
    assert other == without_v2 if without_v2 is not None else isinstance(other, Refused)


@pytest.mark.parametrize(
    "url",
    [
        f"{V2_BASE}/calls/recordings/x",
        f"{V2_BASE}/calls/recordings/077.mp3",
        f"{V2_BASE}/calls/recordings/77/78",
        f"{V2_BASE}/calls/0/recordings/a",
        f"{V2_BASE}/calls/7/recordings/{KEY}",
        "https://api.callfire.com/v3/calls/recordings/77",
        "https://evil.example/v2/calls/recordings/77",
        "https://www.callfire.com/api/1.1/rest/call/7",
        "https://www.callfire.com/api/1.1/rest/call/7/a/b",
        "https://www.callfire.com/x/rest/call/7/a.mp3",
        DYNAMIC.replace("www.callfire.com", "evil.example"),
        DYNAMIC.replace("www.callfire.com", "www.callfire.com.evil.example"),
        DYNAMIC.replace("www.callfire.com", f"{KEY}@www.callfire.com"),
        DYNAMIC.replace("www.callfire.com", "www.callfire.com:8443"),
        DYNAMIC.replace("/cloud/1", "/cloud/2"),
        DYNAMIC.replace("/cloud/1", "/cloud/1/../1"),
        DYNAMIC.replace("2014", ".."),
        DYNAMIC.replace("2014", "%2e%2e"),
        DYNAMIC.replace("cid_1_1.wav", "..%2F..%2Fx"),
        DYNAMIC.replace("cid_1_1.wav", "..%5Cx"),
        DYNAMIC.replace("cid_1_1.wav", "%00"),
        DYNAMIC.replace("cid_1_1.wav", "%ff"),
        DYNAMIC.replace("cid_1_1.wav", ""),
        DYNAMIC.replace("cid_1_1.wav", "x" * 300),
        DYNAMIC.replace("cid_1_1.wav", "e%CC%81"),
        DYNAMIC.replace("cid_1_1.wav", ".git"),
        DYNAMIC.replace("cid_1_1.wav", f"x%3Fapikey={KEY}"),
        DYNAMIC.replace("cid_1_1.wav", f"{KEY.lower()}.wav"),
        DYNAMIC.replace(HASH, f"{KEY}{KEY}"),
        DYNAMIC.replace("123", "-1"),
        DYNAMIC.replace("/8/", "/13/"),
        DYNAMIC.replace(HASH, "short"),
        f"{DYNAMIC}/mp4",
        f"{BASE}/files/recording/077",
        f"{BASE}/files/recording/x",
        "GET /cloud/1/files/recording/77 HTTP/1.1",
        f"https://www.callfire.com/cloud/1/files/recording/{'7' * 9000}",
    ],
)
def test_refused(url: str) -> None:
    """Another origin, a way out, a key in an odd place, a name that no file can have: one refusal, which repeats
    nothing of it."""
    (refused,) = found_in(f"a {url} b")
    assert isinstance(refused, Refused)
    assert KEY.lower() not in refused.reason.lower()
    assert len(refused.reason) < 40


def test_not_recordings() -> None:
    """A list of recordings, other URLs of the origin, and texts without URLs are neither found nor refused."""
    assert found_in(f"{BASE}/files/recording/list/5/7 {BASE}/other https://x/y\n" * 3 + "x" * 100_000) == []


SEGMENTS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12)
URLS = st.one_of(
    st.integers(1, 2**63 - 1).map(lambda n: f"{BASE}/files/recording/{n}?apikey={KEY}"),
    SEGMENTS.map(lambda name: f"{BASE}/files/recording/dynamic/{HASH}/2014/8/5/{quote(name, safe='')}?apikey={KEY}"),
)
NOISE = st.text(st.characters(blacklist_characters="/", blacklist_categories=["Cs"]), max_size=30)


@given(urls=st.lists(URLS, max_size=5), noise=st.lists(NOISE, min_size=6, max_size=6), piece=st.integers(1, 400))
def test_however_it_is_cut(urls: list[str], noise: list[str], piece: int) -> None:
    """Whatever stands around the URLs and wherever the pieces are cut, each is found or refused once, in order, and
    no finding holds the key."""
    text = "".join(f"{before}\n{url}\n" for before, url in zip(noise, [*urls, ""], strict=False))
    found = found_in(text, piece_nbytes=piece)
    assert found == found_in(text)
    assert len(found) == len(urls)
    assert KEY not in repr(found)
    for url, one in zip(urls, found, strict=True):
        if isinstance(one, DynamicRow):
            assert quote(one.filename, safe="") in url
        elif isinstance(one, FoundFile):
            assert f"/{one.id}?" in url


@given(raw=st.binary(max_size=300), piece=st.integers(1, 50))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes(raw: bytes, piece: int) -> None:
    """No text raises."""
    found_in(raw, piece_nbytes=piece)
    found_in(BASE.encode() + b"/files/recording/" + raw, piece_nbytes=piece)


def test_memory_is_bounded() -> None:
    """A text without an end of a URL for megabytes is not kept."""
    finder = UrlFinder(BASE, V2_BASE, has_v2=True)
    for _ in range(64):
        assert list(finder.feed(b"https://" + b"x" * 65_536)) == []
        assert len(finder._waiting) <= 65_536


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A catalogue."""
    schema.prepare(tmp_path / "catalog.sqlite")
    return tmp_path / "catalog.sqlite"


def take(path: Path, findings: list[Finding]) -> Tally:
    """Import them."""
    tally = Tally()
    with closing(CatalogFile(path)) as opened:
        for _ in opened.take(iter(findings), tally):
            pass
    return tally


def test_tally(prepared: Path) -> None:
    """Found, new and refused are counted; what is known already is found and not new."""
    findings: list[Finding] = [
        ROW,
        ROW,
        FoundFile(7),
        Refused("another host"),
        Refused("malformed"),
        Refused("malformed"),
    ]
    assert str(take(prepared, findings)) == "found 3, new 2, refused 3 (2 malformed, 1 another host)"
    assert str(take(prepared, findings[:3])) == "found 3, new 0, refused 0"
    with closing(CatalogFile(prepared)) as opened:
        assert [row.filename for row in opened.dynamic_files()] == ["cid_1_1.wav"]
        assert list(opened.imported_files()) == [7]


def test_what_v2_will_tell(prepared: Path) -> None:
    """Ids of recordings and calls are kept once, until v2 has described them."""
    findings: list[Finding] = [FoundRecording(7), FoundCall(8), FoundRecording(7), FoundCall(8)]
    assert str(take(prepared, findings)) == "found 4, new 2, refused 0"
    with closing(CatalogFile(prepared)) as opened:
        assert list(opened.undescribed_recordings()) == [7]
        assert list(opened.undescribed_calls()) == [8]


async def test_a_mount_sees_it(prepared: Path) -> None:
    """Rows that another process inserted are in the open catalogue's next read, and its own writes go on."""
    async with Catalog.opened(prepared) as catalog:
        assert catalog.files(after_seq=0) == []
        take(prepared, [ROW, FoundFile(7)])
        assert catalog.dynamic_file((HASH, "2014", "8", "123"), "cid_1_1.wav") is not None
        assert [file.id for file in catalog.files(after_seq=0)] == [7]
        listing = RecordingList(campaign_id=None, call_id=None, file_ids=(7,), refused=0)  # type: ignore[arg-type]
        await catalog.write(lambda db: upserts.put_files(db, listing, campaign_id=5, call_id=6))
        assert [(file.call_id, file.campaign_id) for file in catalog.files(after_seq=0)] == [(6, 5)]


def test_half_an_import_is_whole_batches(prepared: Path) -> None:
    """An import that is stopped leaves the batches that it reported, and nothing of the one it was at."""

    def stopped() -> Iterator[Finding]:
        for number in range(1, 3000):
            yield FoundFile(number)
        raise KeyboardInterrupt

    tally = Tally()
    with closing(CatalogFile(prepared)) as opened, pytest.raises(KeyboardInterrupt):
        for _ in opened.take(stopped(), tally):
            pass
    with closing(sqlite3.connect(prepared)) as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (tally.new,) == (2000,)
