"""Properties of shared answers: one machine asks, and none is used for too long."""

from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from cffs.callfire.status_reader import Response
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.core.errors import CffsError, MalformedAnswer, RemoteObjectMissing, ServerFailure
from cffs.core.json_values import encode
from cffs.core.source import Api
from cffs.shared.answers import AnswerCounts, SharedAnswers, packed, shared_question, unpacked
from cffs.shared.write_queue import WriteQueue
from tests.reader.simulated_link import NurseryBackground
from tests.shared.redis_server import RedisServer

CALLS = encode({"items": [{"id": 7, "fromNumber": "1"}], "limit": 1000, "offset": 0, "totalCount": 1})
TTL = 60.0


@dataclass
class Service:
    """A transport that answers with what `bodies` have by path, after a while, and counts."""

    bodies: dict[tuple[str, ...], bytes | CffsError] = field(default_factory=dict)
    latency_seconds: float = 0.0
    asked: list[tuple[str, ...]] = field(default_factory=list)

    async def get(self, api, segments, *, require=None, **_options) -> Response:
        self.asked.append(segments)
        await trio.sleep(self.latency_seconds)
        body = self.bodies[segments]
        if isinstance(body, CffsError):
            raise body
        if require is not None:
            require(body)
        return Response(status=200, body=body, content_type="application/json", served_ms=1_795_000_000_000)

    async def send(self, _method, _api, segments, **_options) -> Response:
        await trio.sleep(0)
        self.asked.append(("act", *segments))
        return Response(status=200, body=b"true", content_type="application/json")


@asynccontextmanager
async def asking(server, service: Service, *, ttl_seconds: float = TTL, timeout_seconds: float = 30.0):
    """One machine's answers."""
    async with trio.open_nursery() as nursery:
        background = NurseryBackground(nursery)
        queue = WriteQueue(background, is_up=lambda: server.is_up)
        shared = SharedAnswers(
            service,
            server,
            queue,
            background,
            counts=AnswerCounts(),
            ttl_seconds=ttl_seconds,
            timeout_seconds=timeout_seconds,
        )
        yield shared
        nursery.cancel_scope.cancel()


async def written(*machines: SharedAnswers) -> None:
    """Return once nothing waits to be written to the server."""
    while any(one._queue.is_writing for one in machines):
        await trio.sleep(0.001)


def end_leases(redis: RedisServer) -> None:
    """End all leases, as two seconds do: that of an answer which its reader did not accept ends by itself."""
    for key in redis.ask("KEYS", "*"):
        if redis.ask("TYPE", key) == b"hash":
            redis.ask("DEL", key)


# -- pure --


@pytest.mark.parametrize(
    ("api", "path", "seconds"),
    [
        (Api.V2, "calls", 60),
        (Api.V2, "calls/broadcasts", 60),
        (Api.V2, "media", 60),
        (Api.V2, "calls/7", 60),
        (Api.V2, "calls/7/recordings", 30),
        (Api.V2, "calls/7/recordings/name", 60),
        (Api.V2, "calls/recordings/7", 60),
        (Api.V2, "calls/broadcasts/7", 60),
        (Api.V2, "media/7", 60),
        (Api.V1, "files/recording/list/1/2", 30),
        (Api.V2, "me/account", None),
        (Api.V2, "me/api/credentials", None),
        (Api.V2, "me/api/credentials/7", None),
        (Api.V2, "me/callerids", None),
        (Api.V2, "me/billing/plan-usage", None),
        (Api.V2, "media/7/file", None),
        (Api.V2, "media/7.mp3", None),
        (Api.V2, "media/public/key.mp3", None),
        (Api.V2, "calls/recordings/7.mp3", None),
        (Api.V2, "webhooks", None),
        (Api.V1, "files/recording/7", None),
        (Api.V1, "calls", None),
    ],
)
def test_which_questions_are_shared(api, path, seconds):
    """Lists and single objects of calls and media are; the account, credentials and bytes never."""
    question = shared_question(api, tuple(path.split("/")), (), "application/json", ttl_seconds=TTL)
    assert (None if question is None else question.seconds) == seconds


@given(st.binary(max_size=3000), st.text(max_size=30), st.none() | st.integers(0, 2**45), st.floats(0, 50))
def test_an_answer_is_given_back_with_its_age(body, kind, served_ms, spent):
    """Body, type and the service's time survive; the age is what was spent before it was put, and since."""
    answer = Response(status=200, body=body, content_type=kind, served_ms=served_ms)
    data = packed(answer, spent_seconds=spent, lasts_seconds=60)
    found = unpacked(memoryview(data), left_ms=45_000, max_nbytes=10_000)
    assert found is not None
    assert (found.body, found.content_type, found.served_ms) == (body, kind, served_ms)
    assert spent + 15 - 0.01 < found.age_seconds < spent + 15.01


@given(st.binary(max_size=200), st.integers(0, 100), st.integers(0, 10**6))
def test_what_is_no_answer_is_none(data, at, left_ms):
    """Whatever bytes there are, they are an answer or none, and never longer than may be."""
    good = packed(Response(status=200, body=b"x" * 500, content_type="t"), spent_seconds=0, lasts_seconds=1)
    for value in (data, good[:at] + data + good[at:], good[:at]):
        found = unpacked(memoryview(value), left_ms=left_ms, max_nbytes=400)
        assert found is None or len(found.body) <= 400


# -- over a server --


async def test_one_machine_asks(connect, patient):
    """Of three machines that ask the same at the same time one asks the service; the others count its age."""
    service = Service({("calls",): CALLS}, latency_seconds=0.2)
    pages = []
    async with connect() as server, asking(server, service) as one, asking(server, service) as two:
        async with asking(server, service) as three, trio.open_nursery() as nursery:

            async def ask(shared: SharedAnswers) -> None:
                pages.append(await V2Client(shared).find_calls(limit=1000, offset=0))

            for shared in (one, two, three):
                nursery.start_soon(ask, shared)
        await written(one, two)
        assert service.asked == [("calls",)]
        assert [page.items[0].id for page in pages] == [7, 7, 7]
        assert all(page.served_ms == 1_795_000_000_000 for page in pages)
        ages = sorted(page.age_seconds for page in pages)
        assert ages[0] == 0
        assert 0.2 <= ages[1] <= ages[2] < 2
        other = await V2Client(two).find_calls(limit=500, offset=0)
        assert (len(service.asked), other.age_seconds) == (2, 0)


@pytest.mark.parametrize("answer", [RemoteObjectMissing("no"), ServerFailure(500, "calls"), b"<html>", b'{"id": 8}'])
async def test_only_a_good_answer_is_shared(connect, patient, server, answer):
    """A refusal, an error, and an answer that its reader does not accept are asked for again by each machine."""
    service = Service({("calls", "7"): answer})
    async with connect() as shared, asking(shared, service) as one, asking(shared, service) as two:
        for asks in (one, two, one):
            with pytest.raises((RemoteObjectMissing, ServerFailure, MalformedAnswer)):
                await V2Client(asks).get_call(7)
            await written(asks)
            end_leases(server)
        assert len(service.asked) == 3


async def test_an_answer_is_not_used_after_its_time(connect, patient, server):
    """The age of an answer and the time to live of its machine together are the time to live once, not twice."""
    service = Service({("calls",): CALLS, ("calls", "7", "recordings"): encode({"items": []})})
    async with connect() as shared, asking(shared, service) as one, asking(shared, service) as two:
        await V2Client(one).find_calls(limit=9, offset=0)
        await written(one)
        (key,) = (key for key in server.ask("KEYS", "*") if server.ask("TYPE", key) == b"string")
        assert 59_000 < server.ask("PTTL", key) <= 60_000
        server.ask("PEXPIRE", key, 20_000)
        page = await V2Client(two).find_calls(limit=9, offset=0)
        assert 39.9 < page.age_seconds < 42
        async with asking(shared, service, ttl_seconds=30) as three:
            assert (await V2Client(three).find_calls(limit=9, offset=0)).age_seconds == 0
        assert len(service.asked) == 2
        await V2Client(one).get_call_recordings(7)
        await written(one)
        assert sorted(server.ask("PTTL", key) for key in server.ask("KEYS", "*"))[-1] <= 30_000


async def test_a_recording_in_progress_is_asked_about_each_second(connect, patient, server):
    """What says that a recording is in progress lasts a second."""
    body = encode({"id": 5, "callId": 7, "state": "RECORDING", "name": "r"})
    service = Service({("calls", "recordings", "5"): body})
    async with connect() as shared, asking(shared, service) as one:
        await V2Client(one).get_recording(5)
        await written(one)
        assert all(server.ask("PTTL", key) <= 1000 for key in server.ask("KEYS", "*"))


async def test_what_a_machine_did_is_seen_by_it_at_once(connect, patient):
    """After an act of this machine, no answer from before it is used; one from after it is."""
    service = Service({("media",): encode({"items": []})})
    async with connect() as server, asking(server, service) as one, asking(server, service) as two:
        await V2Client(two).find_media(limit=9, offset=0)
        await written(two)
        await one.send("DELETE", Api.V2, ("media", "7"))
        await trio.sleep(0.05)  # an answer of the next milliseconds might be from before it
        await V2Client(one).find_media(limit=9, offset=0)
        await written(one)
        assert service.asked == [("media",), ("act", "media", "7"), ("media",)]
        await V2Client(one).find_media(limit=9, offset=0)
        assert len(service.asked) == 3


async def test_the_account_and_credentials_are_never_shared(connect, patient, server):
    """Nothing of `me` is put on the server, whatever asks."""
    service = Service(
        {
            ("me", "account"): b'{"id": 1}',
            ("me", "api", "credentials"): encode({"items": [{"id": 1, "password": "secret"}]}),
            ("me", "callerids"): encode({"items": [{"phoneNumber": "1"}]}),
        }
    )
    async with connect() as shared, asking(shared, service) as one:
        client = V2Client(one)
        await client.get_account()
        await client.find_credentials(limit=9, offset=0)
        await client.get_caller_ids()
        await one.get(Api.V2, ("me", "account"), as_account=True)
        await written(one)
        assert server.ask("DBSIZE") == 0


async def test_v1_lists_are_shared(connect, patient, server):
    """v1's list of a call's recordings is asked for once; what refuses with status 200 is never shared."""
    path = ("files", "recording", "list", "1", "2")
    body = b'{"campaignId": 1, "callId": 2, "successful": true, "recordings": [5, 6]}'
    service = Service({path: body})
    async with connect() as client, asking(client, service) as one, asking(client, service) as two:
        for shared in (one, two):
            assert (await V1Client(shared).list_recordings(1, 2)).file_ids == (5, 6)
            await written(shared)
        assert len(service.asked) == 1
        service.bodies["files", "recording", "list", "1", "3"] = b'{"successful": false, "message": "no"}'
        for shared in (one, two):
            with pytest.raises(CffsError):
                await V1Client(shared).list_recordings(1, 3)
            end_leases(server)
        assert len(service.asked) == 3


async def test_a_machine_that_died_is_waited_for_shortly(connect, patient):
    """Where the machine that asks dies, another one asks within some two seconds, and has its answer."""
    service = Service({("calls",): CALLS})
    async with connect() as server, asking(server, service) as one:
        query = (("limit", "9"), ("offset", "0"))
        question = shared_question(Api.V2, ("calls",), query, "application/json", ttl_seconds=TTL)
        assert question is not None
        assert await one._leases.take(server.key("leases", question.name), 0, 1) is not None
        began_at = trio.current_time()
        await V2Client(one).find_calls(limit=9, offset=0)
        assert 1 < trio.current_time() - began_at < 6
        assert one.counts.followed == 1


async def test_accounts_do_not_share_answers(connect, patient):
    """Another account on the server is given nothing."""
    service = Service({("calls",): CALLS})
    async with connect() as server, connect(account="another") as other, asking(server, service) as one:
        await V2Client(one).find_calls(limit=9, offset=0)
        await written(one)
        async with asking(other, service) as two:
            await V2Client(two).find_calls(limit=9, offset=0)
        assert len(service.asked) == 2


async def test_damaged_answers_are_asked_for_again(connect, patient, server):
    """Whatever lies under the key of an answer, the page is the service's."""
    service = Service({("calls",): CALLS})
    async with connect() as shared, asking(shared, service) as one:
        damages: list[Callable[[bytes], object]] = [
            lambda key: server.ask("SETRANGE", key, 40, b"?"),
            lambda key: server.ask("SET", key, b"garbage", "EX", 50),
            lambda key: server.ask("SET", key, b"x" * 300_000, "EX", 50),
            lambda key: server.ask("APPEND", key, b"x"),
        ]
        for damage in damages:
            server.ask("FLUSHALL")
            await V2Client(one).find_calls(limit=9, offset=0)
            await written(one)
            (key,) = (key for key in server.ask("KEYS", "*") if server.ask("TYPE", key) == b"string")
            damage(key)
            count = len(service.asked)
            assert (await V2Client(one).find_calls(limit=9, offset=0)).items[0].id == 7
            assert len(service.asked) == count + 1
            await written(one)
