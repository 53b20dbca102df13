"""Which files a disk cache evicts, keeps and removes."""

import stat

from cffs.cache.disk_index import files_below
from cffs.core.units import BLOCK_NBYTES
from tests.cache.test_disk import TOTAL, block, opened, put, take, the_file, version


def test_whole_files_go_by_last_use(tmp_path):
    """Over the limit the file unused for longest goes, whole; a pinned one stays, also after a restart."""
    cache = opened(tmp_path, limit=3 * BLOCK_NBYTES)
    kept, old, new = version(1), version(2), version(3)
    for of in (kept, old, new):
        put(cache, of, 0)
    cache.set_pinned(kept.key, pinned=True)
    cache.close()
    again = opened(tmp_path, limit=4 * BLOCK_NBYTES)
    assert again.is_pinned(kept.key)
    assert take(again, new, 0) == block(new, 0)
    put(again, version(4), 0)
    put(again, version(4), 1)
    assert take(again, old, 0) is None
    assert take(again, kept, 0) == block(kept, 0)
    assert again.used_nbytes <= 4 * BLOCK_NBYTES + 4 * 8192


def test_clear_leaves_no_byte(tmp_path):
    """Clearing removes every file; pinned ones only when asked."""
    cache = opened(tmp_path)
    put(cache, version(1), 0)
    put(cache, version(2), 0)
    cache.set_pinned(version(2).key, pinned=True)
    assert cache.index.clear(pinned_too=False) >= BLOCK_NBYTES
    assert len(list(files_below(tmp_path))) == 1
    cache.index.clear(pinned_too=True)
    assert list(files_below(tmp_path)) == []
    assert cache.used_nbytes == 0


def test_a_pin_outlives_a_new_version(tmp_path):
    """A pinned object that changed is pinned in its new version too; its old bytes are gone."""
    cache, old, new = opened(tmp_path), version(validator="a"), version(validator="b")
    put(cache, old, 0)
    cache.set_pinned(old.key, pinned=True)
    put(cache, new, 1)
    assert cache.is_pinned(new.key)
    assert the_file(tmp_path).stat().st_mode & stat.S_IXUSR
    assert take(cache, old, 0) is None
    assert cache.held_nbytes(new.key) == BLOCK_NBYTES


def test_what_is_evicted_or_dropped_is_in_no_file(tmp_path):
    """The bytes of an evicted file, and of an object that left the catalogue, are found in no file by their content."""
    (tmp_path / "cache").mkdir()
    cache = opened(tmp_path / "cache", 4 * TOTAL)
    versions = [version(number) for number in range(8)]

    def kept() -> set[int]:
        data = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
        return {number for number, of in enumerate(versions) if bytes(block(of, 1))[1000:1064] in data}

    for of in versions:
        put(cache, of, 0)
        put(cache, of, 1)
    here = kept()
    assert 7 in here
    assert 0 not in here
    cache.drop_object(versions[7].key)
    assert kept() == here - {7}
    cache.close()
