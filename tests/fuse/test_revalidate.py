"""`--revalidate`: what is cached is checked at open, once it is old enough.

An object that has changed is another file then.
"""

import errno

import pytest
from trio.testing import MockClock

from cffs.standin.account import Account
from cffs.standin.answers import Options
from tests.fuse.kernel import refused

AFTER_SECONDS = 30.0


def made() -> tuple[Account, str, str]:
    """An account, the path of an MP3 in it, and the MP3's path in the API."""
    account = Account(seed=5, calls=12)
    ident = account.recording_ids(account.call_ids()[0])[0]
    return account, f"recordings/{ident}.mp3", f"/v2/calls/recordings/{ident}.mp3"


@pytest.mark.parametrize("options", [Options(), Options(honour_ranges=False)], ids=["ranges", "no ranges"])
async def test_asked_when_due(world, mock_clock: MockClock, options):
    """An unchanged object costs one request each time it is due, none in between, and no byte."""
    account, path, below = made()
    async with world(account, options=options, revalidate_seconds=AFTER_SECONDS) as found:
        true = account.object_for(below).read()
        assert await found.kernel.read(path) == true
        for _ in range(2):
            found.standin.log.clear()
            assert await found.kernel.read(path) == true
            assert found.standin.requests == []
            mock_clock.jump(AFTER_SECONDS + 1)
            assert await found.kernel.read(path) == true
            assert [record.range for record in found.standin.requests] == ["bytes=0-0"]


async def test_changed(world, mock_clock: MockClock):
    """A changed object is whole and new at the next open that is due, under a new inode; old handles get ESTALE for
    what was not read."""
    account, path, below = made()
    async with world(account, revalidate_seconds=AFTER_SECONDS, memory_nbytes=2**20) as found:
        before = account.object_for(below).read()
        async with found.kernel.opened(path) as (old_inode, info):
            assert await found.kernel.read_handle(old_inode, info) == before
            account.replace_object(below, data=before[::-1])
            assert await found.kernel.read(path) == before
            mock_clock.jump(AFTER_SECONDS + 1)
            assert await found.kernel.read(path) == account.object_for(below).read() == before[::-1]
            assert await found.kernel.inode(path) != old_inode
            with refused(errno.ESTALE):
                await found.operations.read(info.fh, 0, 4096)


async def test_gone_and_unreachable(world, mock_clock: MockClock):
    """What gives no answer leaves what is cached readable; 404 is ENOENT."""
    account, path, below = made()
    async with world(account, revalidate_seconds=AFTER_SECONDS) as found:
        true = await found.kernel.read(path)
        mock_clock.jump(AFTER_SECONDS + 1)
        rule = found.standin.faults.add("status", path=below, code=403)
        assert await found.kernel.read(path) == true
        found.standin.faults.remove(rule)
        found.standin.faults.add("status", path=below, code=404)
        with refused(errno.ENOENT):
            await found.kernel.read(path)


async def test_off(world, mock_clock: MockClock):
    """Without the option, a wholly cached object is never asked about."""
    account, path, below = made()
    async with world(account) as found:
        true = await found.kernel.read(path)
        account.replace_object(below)
        found.standin.log.clear()
        mock_clock.jump(24 * 3600)
        assert await found.kernel.read(path) == true
        assert found.standin.requests == []
