"""The stream of new recordings, on real servers."""

from pathlib import Path

import pytest
import trio

from cffs.shared import recording_stream
from cffs.shared.recording_stream import MOST_TRIES, RecordingStream, StreamUnavailable
from tests.shared.conftest import Connect, connected
from tests.shared.redis_server import RedisServer, redis_cluster, redis_server


async def test_each_is_put_once_and_taken_once(connect: Connect, server: RedisServer) -> None:
    """Three watchers put ten recordings at once, in any order; two workers get each of them once."""
    async with connect() as one, connect() as two, connect() as three:
        streams = [RecordingStream(shared, "new calls") for shared in (one, two, three)]
        put = list[int]()

        async def watch(stream: RecordingStream, ids: list[int]) -> None:
            for recording_id in ids:
                if await stream.put(recording_id):
                    put.append(recording_id)

        async with trio.open_nursery() as nursery:
            for stream, step in zip(streams, (1, -1, 1), strict=True):
                nursery.start_soon(watch, stream, list(range(10))[::step])
        assert sorted(put) == list(range(10))
        taken = list[int]()
        while entries := [entry for stream in streams[:2] if (entry := await stream.take()) is not None]:
            taken += [entry.recording_id for entry in entries]
            assert {entry.tries for entry in entries} == {1}
            await streams[0].done(entries[0])
        assert sorted(taken) == list(range(10))
        assert await RecordingStream(one, "another").take() is None
        keys = server.ask("KEYS", "*")
        assert isinstance(keys, list)
        assert not any(word in key for key in keys for word in (b"new", b"calls", b"stream"))
        assert all(0 < server.ask("PTTL", key) <= 86_400_000 for key in keys)


async def test_what_dead_workers_held_is_taken_over(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry whose worker is silent goes to another; one that is renewed stays; what is done is gone."""
    monkeypatch.setattr(recording_stream, "SILENT_SECONDS", 0.3)
    async with connect() as shared:
        dead, alive, other = (RecordingStream(shared, "s") for _ in range(3))
        await dead.put(1)
        await dead.put(2)
        held, kept = await dead.take(), await alive.take()
        assert (held.recording_id, kept.recording_id) == (1, 2)
        for _ in range(4):
            await trio.sleep(0.15)
            await alive.renew([kept])
        again = await other.take()
        assert (again.recording_id, again.tries) == (1, 2)
        assert await other.take() is None
        await alive.done(kept)
        await other.done(again)
        await trio.sleep(0.4)
        assert await dead.take() is None


async def test_tries_are_counted(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time that an entry is given out again it says so, up to the last."""
    monkeypatch.setattr(recording_stream, "SILENT_SECONDS", 0.0)
    async with connect() as shared:
        stream = RecordingStream(shared, "s")
        await stream.put(7)
        assert [(await stream.take()).tries for _ in range(MOST_TRIES)] == [1, 2, 3]


async def test_entries_of_others_are_passed_over(connect: Connect, server: RedisServer) -> None:
    """An entry that holds no id is taken off the stream; a value of another type is an error in words."""
    async with connect() as shared:
        stream = RecordingStream(shared, "s")
        server.ask("XADD", stream._key, "*", "x", "y")
        server.ask("XADD", stream._key, "*", "id", "-5")
        await stream.put(9)
        assert (await stream.take()).recording_id == 9
        assert server.ask("XLEN", stream._key) == 1
        server.ask("SET", stream._key, "x")
        with pytest.raises(StreamUnavailable, match="it refuses"):
            await stream.take()


async def test_without_the_server(tmp_path: Path) -> None:
    """Every method says why in a few words; a stream in a cluster works as any other."""
    async with connected(RedisServer(tmp_path).url) as shared:
        stream = RecordingStream(shared, "s")
        for call in (stream.put(1), stream.take()):
            with pytest.raises(StreamUnavailable, match="no connection"):
                await call
        await stream.renew([])


async def test_a_full_server(tmp_path: Path) -> None:
    """A server that takes nothing more refuses, and the recording is put later."""
    with redis_server(tmp_path, options=("--maxmemory", "500kb")) as running:
        async with connected(running.url) as shared:
            stream = RecordingStream(shared, "s")
            with pytest.raises(StreamUnavailable, match="it refuses, being full"):
                await stream.put(1)
            running.ask("CONFIG", "SET", "maxmemory", "100mb")
            assert await stream.put(1)


@pytest.mark.slow
async def test_in_a_cluster(tmp_path: Path) -> None:
    """The stream and its marks lie on one node."""
    with redis_cluster(tmp_path) as nodes:
        async with connected("redis://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)) as shared:
            stream = RecordingStream(shared, "s")
            assert await stream.put(1)
            assert not await stream.put(1)
            entry = await stream.take()
            await stream.renew([entry])
            await stream.done(entry)
            assert await stream.take() is None
