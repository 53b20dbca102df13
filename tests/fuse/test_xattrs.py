"""Extended attributes: all that the documents name, and none without the option."""

import errno

import pytest

from cffs.standin.account import Account
from tests.fuse.kernel import CONTEXT, refused

OF_RECORDING = [
    *("user.mime_type", "user.xdg.origin.url", "user.cffs.id", "user.cffs.call_id", "user.cffs.campaign_id"),
    *("user.cffs.from", "user.cffs.to", "user.cffs.created", "user.cffs.seconds", "user.cffs.state"),
    *("user.cffs.labels", "user.cffs.size", "user.cffs.cached"),
]


async def told(found, path: str) -> dict[str, str]:
    """All attributes of a path, by listxattr and getxattr."""
    inode = await found.kernel.inode(path)
    names = await found.operations.listxattr(inode, CONTEXT)
    return {name.decode(): (await found.operations.getxattr(inode, name, CONTEXT)).decode() for name in names}


async def test_of_a_recording(world):
    """Each attribute is the service's own value, and reading it costs no request; how much is held, and how sure the
    size is, follow what is known."""
    account = Account(seed=5, calls=12, media=8)
    call_id = account.call_ids()[0]
    account.set_call(call_id, labels=["vip", "a,b/c"], inbound=True)
    recording_id = account.recording_ids(call_id)[0]
    async with world(account, xattrs=True) as found:
        await found.kernel.listing("recordings")
        found.standin.log.clear()
        path = f"recordings/{recording_id}.mp3"
        before = await told(found, path)
        assert found.standin.requests == []
        assert list(before) == OF_RECORDING
        call, recording = account.call_row(call_id), account.recording_row(recording_id)
        assert before["user.mime_type"] == "audio/mpeg"
        assert before["user.xdg.origin.url"] == f"{found.standin.v2_url}/calls/recordings/{recording_id}.mp3"
        assert before["user.cffs.id"] == str(recording_id)
        assert (before["user.cffs.from"], before["user.cffs.to"]) == (call["fromNumber"], call["toNumber"])
        assert (before["user.cffs.call_id"], before["user.cffs.campaign_id"]) == (str(call_id), str(call["campaignId"]))
        assert before["user.cffs.created"].startswith("2024-06-")
        assert before["user.cffs.seconds"] == str(recording["lengthInSeconds"])
        assert before["user.cffs.labels"] == "vip,a%2Cb%2Fc"
        assert (before["user.cffs.size"], before["user.cffs.cached"]) == ("hint", "none")
        await found.kernel.read(path)
        after = await told(found, path)
        assert (after["user.cffs.size"], after["user.cffs.cached"]) == ("exact", "full")


async def test_of_other_files(world):
    """Everything that is shown answers: folders have no attributes, rendered files have a type, WAVs have what v2 says
    of their id. No key is in any value."""
    account = Account(seed=5, calls=12, media=8)
    call_id = account.call_ids()[0]
    row = account.call_row(call_id)
    folder = f"campaigns/{row['campaignId']}/{call_id}" if row["campaignId"] else f"calls/{call_id}"
    recording_id = account.recording_ids(call_id)[0]
    async with world(account, xattrs=True, formats=("mp3", "wav")) as found:
        await found.kernel.listing("recordings")
        media = await found.kernel.listing("media")
        assert await told(found, "campaigns") == {}
        assert (await told(found, f"{folder}/call.json"))["user.mime_type"] == "application/json"
        assert (await told(found, f"recordings/{recording_id}.json"))["user.cffs.state"] == "READY"
        wav = await told(found, f"recordings/{recording_id}.wav")
        assert (wav["user.mime_type"], wav["user.cffs.call_id"]) == ("audio/x-wav", str(call_id))
        paths = [f"media/{name}" for name in media if "." in name] + [f"{folder}/playlist.m3u8", ".cffs/status.json"]
        values = [*wav.values()]
        for path in paths:
            values += (await told(found, path)).values()
        assert not any(found.standin.credentials.apikey in value for value in values)


async def test_hostile_values(world):
    """Labels and numbers that are no text are shown as one line of UTF-8."""
    account = Account(seed=5, calls=12)
    call_id = account.call_ids()[0]
    account.set_call(call_id, labels=["\ud800\n", "-x", "\u202e%"], fromNumber="+1\n\x00\udfff", toNumber="é")
    async with world(account, xattrs=True) as found:
        await found.kernel.listing("recordings")
        got = await told(found, f"recordings/{account.recording_ids(call_id)[0]}.mp3")
        assert got["user.cffs.labels"] == "\ufffd\ufffd\ufffd%0A,%2Dx,%E2%80%AE%25"
        assert got["user.cffs.from"].isprintable()
        assert got["user.cffs.to"] == "é"


@pytest.mark.parametrize(
    "name", [b"user.cffs.nothing", b"security.capability", b"system.posix_acl_access", b"\xff", b""]
)
async def test_absent(world, name):
    """An attribute that a file does not have is ENODATA."""
    async with world(xattrs=True) as found:
        for path in ("campaigns", "me/account.json"):
            with refused(errno.ENODATA):
                await found.operations.getxattr(await found.kernel.inode(path), name, CONTEXT)


async def test_without_the_option(world):
    """The kernel is made never to ask again."""
    async with world() as found:
        inode = await found.kernel.inode("me/account.json")
        with refused(errno.ENOSYS):
            await found.operations.getxattr(inode, b"user.mime_type", CONTEXT)
        with refused(errno.ENOSYS):
            await found.operations.listxattr(inode, CONTEXT)
