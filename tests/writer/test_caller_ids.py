"""Caller ids, against the stand-in: rung once, verified by the code.

After an end that is not known, the service's state is asked.
"""

import pytest

from cffs.catalog.account_lists import CALLER_IDS, kept_list
from cffs.core import errors
from tests.writer.account_world import NUMBER, opened

HOSTILE_NUMBERS = ["", "1213555112", "121355511223", "+12135551122", "02135551122", "1213555112x", "١٢١٣٥٥٥١١٢٢"]
HOSTILE_NUMBERS += ["..", "12135551122/x", "12135551122\n", "1213555112%2f", "a" * 11]


async def test_a_number_is_rung_once_and_verified(world):
    """A number waits from the call on; the wrong code leaves it waiting, and the right one ends that."""
    caller_ids, me = world.actions.caller_ids, world.standin.account.me
    await caller_ids.ask_for_call(NUMBER)
    assert caller_ids.waiting() == [NUMBER]
    with pytest.raises(errors.ActRefused):
        await caller_ids.verify(NUMBER, "nope")
    assert caller_ids.waiting() == [NUMBER]
    await caller_ids.verify(NUMBER, me.verification_code(NUMBER))
    assert caller_ids.waiting() == []
    assert NUMBER in kept_list(world.catalog, CALLER_IDS)
    assert me.verification_calls == [NUMBER]
    assert NUMBER in me.caller_ids
    assert [kind for _method, kind in world.posts()] == ["sendVerificationCodeToCallerId"] + ["verifyCallerId"] * 2


async def test_a_number_that_is_verified_is_not_rung(world):
    """The service says with 400 that the number is verified: it exists already, and is listed from now on."""
    verified = world.standin.account.me.caller_ids[-1]
    with pytest.raises(errors.AlreadyExists):
        await world.actions.caller_ids.ask_for_call(verified)
    assert world.actions.caller_ids.waiting() == []
    assert world.standin.account.me.verification_calls == []
    assert kept_list(world.catalog, CALLER_IDS) == [verified]


async def test_no_number_is_rung_twice_within_a_minute(world, tmp_path):
    """A number is not rung again while it waits, after that was given up, or by the next mount; a minute later it
    is."""
    caller_ids, me = world.actions.caller_ids, world.standin.account.me
    await caller_ids.ask_for_call(NUMBER)
    with pytest.raises(errors.AlreadyExists):
        await caller_ids.ask_for_call(NUMBER)
    await caller_ids.forget(NUMBER)
    with pytest.raises(errors.RemoteObjectMissing):
        await caller_ids.forget(NUMBER)
    async with opened(world.standin, tmp_path) as next_life:
        with pytest.raises(errors.AlreadyExists):
            await next_life.actions.caller_ids.ask_for_call(NUMBER)
        next_life.wall_ms += 61_000
        await next_life.actions.caller_ids.ask_for_call(NUMBER)
        assert next_life.actions.caller_ids.waiting() == [NUMBER]
    assert me.verification_calls == [NUMBER] * 2


async def test_a_number_waits_after_a_remount(world, tmp_path):
    """Which numbers wait is kept, and the next mount can give their code."""
    await world.actions.caller_ids.ask_for_call(NUMBER)
    async with opened(world.standin, tmp_path) as next_life:
        assert next_life.actions.caller_ids.waiting() == [NUMBER]
        await next_life.actions.caller_ids.verify(NUMBER, world.standin.account.me.verification_code(NUMBER))
        assert next_life.actions.caller_ids.waiting() == []


@pytest.mark.parametrize("fault", ["reset_before", "status", "hang"])
async def test_a_lost_call_is_looked_after(world, caplog, fault):
    """After an uncertain end the state was asked, the number waits, since it may have been rung, and nothing is sent
    again."""
    world.standin.faults.add(fault, kind="sendVerificationCodeToCallerId")
    with pytest.raises(errors.ActUncertain):
        await world.actions.caller_ids.ask_for_call(NUMBER)
    assert world.actions.caller_ids.waiting() == [NUMBER]
    assert world.standin.requests[-1].kind == "getCallerIds"
    assert world.standin.account.me.verification_calls == [NUMBER]
    assert f"uncertain whether {NUMBER} was rung: the service lists it as not verified" in caplog.text
    with pytest.raises(errors.AlreadyExists):
        await world.actions.caller_ids.ask_for_call(NUMBER)


async def test_a_lost_verification_is_looked_after(world, caplog):
    """After an uncertain end, what the service lists now is what is shown."""
    await world.actions.caller_ids.ask_for_call(NUMBER)
    world.standin.faults.add("reset_before", kind="verifyCallerId")
    with pytest.raises(errors.ActUncertain):
        await world.actions.caller_ids.verify(NUMBER, world.standin.account.me.verification_code(NUMBER))
    assert f"uncertain whether {NUMBER} was verified: the service lists it as verified" in caplog.text
    assert world.actions.caller_ids.waiting() == []


@pytest.mark.parametrize("number", HOSTILE_NUMBERS, ids=ascii)
async def test_a_number_that_is_none_costs_nothing(world, number):
    """Anything but 11 digits of ASCII is refused before a request."""
    with pytest.raises(errors.ContentRefused):
        await world.actions.caller_ids.ask_for_call(number)
    assert world.standin.requests == []
    assert world.actions.caller_ids.waiting() == []


@pytest.mark.parametrize("code", ["", "a b", "1\n2", "\udcff", "1" * 33, '"', "../x"], ids=ascii)
async def test_a_code_that_is_none_costs_nothing(world, code):
    """Codes are a few letters and digits; anything else is refused before a request."""
    with pytest.raises(errors.ContentRefused):
        await world.actions.caller_ids.verify(NUMBER, code)
    assert world.standin.requests == []
