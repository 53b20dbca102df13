"""media/: types, names and public URLs, whatever the service sends."""

import pytest

from cffs.standin.media_files import OTHER_EXTENSIONS
from cffs.standin.thread import StandinThread
from tests.tree.sample_account import HOSTILE_IDS, MISSING, Open


async def test_hostile_media_hide_no_others(world: Open, standin: StandinThread, announced: list[str]) -> None:
    """Media with impossible ids, types, names or public URLs are left out, or shown by what they have; every name that
    is listed opens."""
    announced.append("rows left out listing=media")
    library = standin.account.media
    bad_rows = [{"id": bad, "name": "bad", "mediaType": "image/png"} for bad in HOSTILE_IDS]
    standin.faults.add("rows", kind="findMedia", change=lambda page: {**page, "items": [*bad_rows, *page["items"]]})
    urls = ("x", "https://h/v2/media/public/..%2Fx.png", f"https://h/v2/media/public/{'ü' * 200}.png")
    urls += ("https://h/media/public/a b.png", "https://h/media/public/fine.pdf", "https://h/media/public/._x.png")
    for number, url in enumerate(urls, start=1):
        library.add_raw_media({"id": number, "name": "n", "mediaType": "weird/type", "publicUrl": url})
    async with world() as tree:
        found = await tree.walk("media")
        assert sum(path.startswith("media/by-name/") for path in found) >= 16
        assert sum(path.startswith("media/public/") for path in found) == 19 + 1  # fine.pdf
        for number in range(1, len(urls) + 1):
            assert f"media/{number}.json" in found


async def test_many_media_without_a_public_url(world: Open, standin: StandinThread) -> None:
    """A thousand rows that a view does not show do not end its listing."""
    for number in range(1, 1200):
        standin.account.media.add_raw_media({"id": number, "name": "n"})
    async with world() as tree:
        assert len(await tree.names("media/public")) == 19
        assert len(await tree.names("media/by-name")) == 20 + 1199


async def test_odd_spelling_of_a_public_type(world: Open, standin: StandinThread) -> None:
    """A public URL that ends in `.PNG` is listed in lower case, opens so, and is asked as the service spells it."""
    standin.account.media.add_raw_media({"id": 3, "name": "n", "publicUrl": "https://h/v2/media/public/odd.PNG"})
    async with world() as tree:
        assert "odd.png" in await tree.names("media/public")
        remote = await tree.remote("media/public/odd.png")
        assert [source.segments[-1] for source in remote.sources] == ["odd.PNG", "odd.png"]


@pytest.mark.parametrize("extension", OTHER_EXTENSIONS)
async def test_media_of_any_type(world: Open, standin: StandinThread, extension: str) -> None:
    """Media are listed by id and by name with their suffix, without one where no type is known, and read through every
    path."""
    library = standin.account.media
    ident = next(ident for ident in library.media_ids() if library.extension(ident) == extension)
    found = library.media_object(ident)
    assert found is not None
    true, ending = found.read(), f".{extension}" if extension else ""
    async with world() as tree:
        assert f"{ident}{ending}" in await tree.names("media")
        named = [
            name
            for name in await tree.names("media/by-name")
            if (await tree.node(f"media/by-name/{name}")).media_id == ident
        ]
        assert len(named) == 1
        assert named[0].endswith(ending)
        for path in (f"media/{ident}{ending}", f"media/{ident}", f"media/by-name/{named[0]}"):
            assert await tree.data(path) == true, path
        if extension:
            assert await tree.data(f"media/public/{library.media_key(ident)}.{extension}") == true
    async with world() as tree:
        assert await tree.data(f"media/{ident}{ending}") == true
        with pytest.raises(MISSING):
            await tree.node(f"media/{ident}.xyz")


async def test_a_public_file_of_another_account_opens(world: Open, standin: StandinThread) -> None:
    """`public/{key}.3gp` is asked of the service, whatever account it belongs to."""
    library = standin.account.media
    ident = next(ident for ident in library.media_ids() if library.extension(ident) == "3gp")
    async with world() as tree:
        found = library.media_object(ident)
        assert found is not None
        assert await tree.data(f"media/public/{library.media_key(ident)}.3gp") == found.read()
        assert tree.requests("getMedia|findMedia") == 0
