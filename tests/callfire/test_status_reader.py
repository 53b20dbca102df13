"""Refusals by their words, and evidence of operations that are not offered."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
import trio

from cffs.callfire.health import HealthState
from cffs.callfire.status_reader import OperationEvidence
from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.core import errors
from cffs.core.byte_range import ByteRange
from cffs.core.source import Api, v1_recording, v2_recording

Mocked = Callable[..., Transport]
Drain = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("autojump_clock")

AUDIO = b"\xff\xfb\x90\x00" + bytes(500)
REACHED = {"httpStatusCode": 400, "message": "Rate Limit Reached"}
FAILURE = "<{root}><successful>false</successful><description>{words}</description></{root}>"


class Origin:
    """Answers `refusal` the first `times`, then the right answer; notes the time and path of each request."""

    def __init__(self, refusal: httpx.Response | Callable[[], httpx.Response], *, times: int = 1_000_000) -> None:
        self.refusal, self.times = refusal, times
        self.asked: list[tuple[float, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((trio.current_time(), request.url.path))
        if len(self.asked) <= self.times:
            return self.refusal() if callable(self.refusal) else self.refusal
        if request.url.path.endswith(".mp3"):
            return httpx.Response(200, content=AUDIO)
        if "/list/" in request.url.path:
            return httpx.Response(200, json={"successful": True, "recording": [5]})
        return httpx.Response(200, json={"id": 1})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
@pytest.mark.parametrize(
    "words", [REACHED, {"developerMessage": "too many requests"}, "Rate limit reached", {"ResourceException": REACHED}]
)
async def test_a_rate_limit_under_any_4xx_holds_the_api(mocked: Mocked, drain: Drain, status: int, words: Any) -> None:
    """The whole API waits a second, one request probes, and the answer comes; the credentials are not suspected."""
    body = words if isinstance(words, str) else json.dumps(words)
    origin = Origin(lambda: httpx.Response(status, content=body.encode()), times=1)
    async with mocked(origin) as transport:
        assert await drain(transport, v2_recording(5), ByteRange(0, 100)) == (0, AUDIO)
        assert transport.health()[Api.V2].state is HealthState.ONLINE
    (first, _path), (second, _again) = origin.asked
    assert 1.0 <= second - first < 1.5


async def test_a_rate_limit_that_lasts_is_busy_and_backs_off(mocked: Mocked, drain: Drain) -> None:
    """Each hold is twice as long as the one before, for all objects; a caller that cannot wait so long learns it at
    once."""
    origin = Origin(lambda: httpx.Response(403, json=REACHED))
    async with mocked(origin, timeout_seconds=5.0) as transport:
        with pytest.raises(errors.OriginBusy):
            await drain(transport, v2_recording(5), ByteRange(0, 100))
        assert transport.health()[Api.V2].state is HealthState.HELD
        with pytest.raises(errors.OriginBusy):
            await drain(transport, v2_recording(6), ByteRange(0, 100))
        began = trio.current_time()
        with pytest.raises(errors.OriginBusy):
            await drain(transport, v2_recording(7), ByteRange(0, 100))
        assert trio.current_time() - began < 0.1
        pauses = [later - sooner for (sooner, _), (later, _) in zip(origin.asked, origin.asked[1:], strict=False)]
        assert [round(pause) for pause in pauses] == [1, 2]
        assert not transport.is_refused(Api.V2)


async def test_an_act_is_held_and_not_repeated(mocked: Mocked) -> None:
    """A credential that was refused for the rate was not created, and is not asked for again by itself."""
    origin = Origin(lambda: httpx.Response(400, json=REACHED))
    async with mocked(origin) as transport:
        with pytest.raises(errors.OriginBusy):
            await V2Client(transport).create_credential("x")
        assert len(origin.asked) == 1
        assert transport.health()[Api.V2].state is HealthState.HELD


async def test_a_name_of_such_words_is_no_rate_limit(mocked: Mocked) -> None:
    """A denial that repeats the name asked for is a denial."""
    origin = Origin(lambda: httpx.Response(404, json={"message": "no recording 'rate limit'"}))
    async with mocked(origin) as transport:
        with pytest.raises(errors.RemoteObjectMissing):
            await V2Client(transport).get_recording_by_name(7, "rate limit")


@pytest.mark.parametrize("status", [401, 403])
async def test_three_objects_in_a_row_are_bad_credentials(mocked: Mocked, drain: Drain, status: int) -> None:
    """Three forms of one object are one refusal; the third object ends the requests, without a retry."""
    origin = Origin(lambda: httpx.Response(status, json={"message": "no"}))
    async with mocked(origin) as transport:
        v2 = V2Client(transport)
        for ask in (
            lambda: v2.get_recording(5),
            lambda: drain(transport, v2_recording(5), None),
            lambda: v2.get_recording(5),
            lambda: v2.get_call(7),
            lambda: v2.get_call_recordings(7),
            lambda: v2.get_media(5),
        ):
            assert not transport.is_refused(Api.V2)
            with pytest.raises(errors.AccessRefused):
                await ask()
        assert transport.is_refused(Api.V2)
        assert len(origin.asked) == 6


async def test_what_an_account_may_not_see_is_no_bad_login(mocked: Mocked) -> None:
    """Refusals of the account's usage, its numbers and every listing, one after the other, count as two objects, not
    six."""
    origin = Origin(lambda: httpx.Response(403, json={"message": "no"}))
    async with mocked(origin) as transport:
        v2 = V2Client(transport)
        asks: list[Callable[[], Any]] = [v2.get_plan_usage, v2.get_caller_ids, v2.get_credit_usage]
        asks += [partial(ask, limit=1, offset=0) for ask in (v2.find_calls, v2.find_campaigns, v2.find_media)]
        for ask in asks:
            with pytest.raises(errors.AccessRefused):
                await ask()
        assert not transport.is_refused(Api.V2)


@pytest.mark.parametrize("root", ["fileResponse", "campaignResponse"])
async def test_v1_refuses_the_key_with_200(mocked: Mocked, root: str) -> None:
    """Three calls whose lists speak of the key mean bad credentials; words about a campaign are about that campaign."""
    words = "no permission for campaign 1"
    origin = Origin(lambda: httpx.Response(200, content=FAILURE.format(root=root, words=words).encode()))
    async with mocked(origin) as transport:
        v1 = V1Client(transport)
        for call_id in (1, 2, 3, 4):
            with pytest.raises(errors.AccessRefused):
                await v1.list_recordings(9, call_id)
        assert not transport.is_refused(Api.V1)
        words = "Invalid API key"
        for call_id in (1, 2, 3):
            with pytest.raises(errors.AccessRefused):
                await v1.list_recordings(9, call_id)
        assert transport.is_refused(Api.V1)


async def test_v1_says_with_200_that_the_rate_is_reached(mocked: Mocked) -> None:
    """v1 is then held as by a 429, and the list comes after the pause."""
    refusal = FAILURE.format(root="fileResponse", words="Rate Limit Reached").encode()
    origin = Origin(lambda: httpx.Response(200, content=refusal), times=1)
    async with mocked(origin) as transport:
        assert (await V1Client(transport).list_recordings(9, 7)).file_ids == (5,)
    assert origin.asked[1][0] - origin.asked[0][0] >= 1.0


async def test_a_refusal_in_the_place_of_audio_with_200(mocked: Mocked, drain: Drain) -> None:
    """A rate limit holds the API, words about the key refuse access, and other words are a malformed answer."""
    said = FAILURE.format(root="fileResponse", words="Rate Limit Reached").encode()
    origin = Origin(lambda: httpx.Response(200, content=said), times=1)
    async with mocked(
        lambda request: origin(request) if not origin.asked else httpx.Response(200, content=AUDIO)
    ) as busy:
        assert await drain(busy, v1_recording(5), None) == (0, AUDIO)
    for words, error in (("Invalid API key", errors.AccessRefused), ("Recording not found", errors.MalformedAnswer)):
        page = FAILURE.format(root="fileResponse", words=words).encode()
        async with mocked(Origin(httpx.Response(200, content=page))) as transport:
            with pytest.raises(error):
                await drain(transport, v1_recording(5), None)
    async with mocked(Origin(lambda: httpx.Response(200, json=REACHED)), timeout_seconds=2.0) as transport:
        with pytest.raises(errors.OriginBusy):
            await drain(transport, v2_recording(5), None)
        assert transport.health()[Api.V2].state is HealthState.HELD


@pytest.mark.parametrize("entries", [["https://x/files/5"], ["XXX", {"a": 1}]], ids=str)
async def test_a_list_of_which_nothing_can_be_read_is_an_error(mocked: Mocked, entries: list[object]) -> None:
    """Such a list is not taken for an empty call."""

    def handle(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"successful": True, "recording": entries})

    async with mocked(handle) as transport:
        with pytest.raises(errors.MalformedAnswer):
            await V1Client(transport).list_recordings(9, 7)


@pytest.mark.parametrize("status", [405, 501])
async def test_one_405_is_one_objects_trouble(mocked: Mocked, drain: Drain, status: int) -> None:
    """An operation that answers for any object is offered; one that has only denied itself, for two objects, is not."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/5"):
            return httpx.Response(200, content=AUDIO)
        return httpx.Response(status)

    async with mocked(handle) as transport:
        for file_id, error in ((6, errors.ObjectRefused), (7, errors.OperationNotOffered)):
            with pytest.raises(error):
                await drain(transport, v1_recording(file_id), None)
        assert await drain(transport, v1_recording(5), None) == (0, AUDIO)
        with pytest.raises(errors.ObjectRefused):
            await drain(transport, v1_recording(6), None)
        assert transport.health()[Api.V1].state is HealthState.ONLINE


def test_an_operation_that_only_ever_denies_itself_is_not_offered() -> None:
    """One object proves nothing, nor do two forms of it; a second object does, until the operation answers for any."""
    evidence = OperationEvidence()
    assert not evidence.note_denial(Api.V2, "calls/recordings/5.mp3")
    assert not evidence.note_denial(Api.V2, "calls/recordings/5.mp3")
    assert not evidence.note_denial(Api.V2, "calls/recordings/6")
    assert not evidence.note_denial(Api.V1, "calls/recordings/6.mp3")
    assert evidence.note_denial(Api.V2, "calls/recordings/6.mp3")
    assert evidence.note_denial(Api.V2, "calls/recordings/5.mp3")
    evidence.note_answer(Api.V2, "calls/recordings/7.mp3")
    assert not evidence.note_denial(Api.V2, "calls/recordings/5.mp3")
    assert not evidence.note_denial(Api.V2, "calls/recordings/8.mp3")
