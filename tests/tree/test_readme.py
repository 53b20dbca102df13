"""README.txt of the root and of search/: short, true, and without a request."""

import re

import pytest

from cffs.tree.search_terms import FIELDS
from tests.tree.sample_account import Facts, Open, Serve


@pytest.mark.parametrize(("v1", "v2"), [(True, False), (False, True)])
async def test_readme_of_one_api(world: Open, v1: bool, v2: bool) -> None:
    """With one API alone README.txt names the folders that are there, no others, and no form that cannot open."""
    async with world(v1=v1, v2=v2) as tree:
        text = (await tree.text("README.txt")).decode()
        assert text.count("\n") <= 15
        assert all(len(line) <= 120 for line in text.splitlines())
        folders = {name for name in await tree.names() if "." not in name}
        named = set(re.findall(r"^([a-z-]+)/ ", text, re.MULTILINE)) | set(re.findall(r" (by-[a-z]+)/", text))
        assert named - {"search", "by-name"} == folders
        assert ("search" in named) == v2
        assert (".wav" in text) == v1
        assert (".mp3" in text) == v2
        assert "{{" not in text
        assert tree.requests() == 0


async def test_readme_where_nothing_is_listed(served: Serve, world: Open) -> None:
    """Where the service was found to list no calls, README.txt says why folders are empty, and what fills them."""
    async with world(served(seed_only=True)) as tree:
        assert await tree.names("campaigns") == await tree.names("by-date") == []
        text = (await tree.text("README.txt")).decode()
        assert "lists no calls" in text
        assert text.count("\n") == 15
        assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("v1", [True, False])
async def test_readme_where_ids_are_listed(world: Open, facts: Facts, v1: bool) -> None:
    """With `--names ids` README.txt speaks of the names that listings have then, and they have them."""
    async with world(lists_ids=True, v1=v1) as tree:
        text = (await tree.text("README.txt")).decode()
        assert text.count("\n") <= 15
        assert all(len(line) <= 120 for line in text.splitlines())
        assert not any(word in text for word in ("by its name", "by month", "Winback", "_{", "{{", "its calls/"))
        assert (".wav" in text) == v1
        assert "{id}.mp3 and {id}.json" in text
        assert f"{facts.campaign}" in await tree.names("campaigns")
        assert f"{facts.call}" in await tree.names("calls")
        assert f"{facts.call}" in await tree.names(f"campaigns/{facts.campaign}")
        assert {f"{facts.id}.mp3", f"{facts.id}.json"} <= set(await tree.names("recordings"))


async def test_readme(world: Open) -> None:
    """README.txt says in fifteen lines what lies where: every folder of the root is in it, and so are search, playlists
    and clips; that of search/ names every field."""
    async with world(timezone="Europe/Berlin") as tree:
        text = (await tree.text("README.txt")).decode()
        assert text.count("\n") == 15
        assert all(len(line) <= 120 for line in text.splitlines())
        for word in (*(name for name in await tree.names() if "." not in name), "search/", "playlist.m3u8", "@"):
            assert word in text, word
        assert "Europe/Berlin" in text
        fields = (await tree.text("search/README.txt")).decode()
        assert fields.count("\n") == 6 + len(FIELDS)
        assert all(f"{name}=" in fields for name in FIELDS)
        assert tree.requests() == 0
