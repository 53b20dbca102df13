"""Both kinds of actions on the account, against the stand-in."""

import pytest

from cffs.core import errors
from tests.writer.account_world import NUMBER


@pytest.mark.parametrize(
    ("code", "error"), [(401, errors.AccessRefused), (403, errors.AccessRefused), (400, errors.ActRefused)]
)
async def test_what_was_refused_may_be_asked_for_again(world, code, error):
    """A refusal changes nothing: the next try is another request, and not "it exists"."""
    rule = world.standin.faults.add("refuse", method="POST", code=code)
    for _ in range(2):
        with pytest.raises(error):
            await world.actions.credentials.create("nightly")
        with pytest.raises(error):
            await world.actions.caller_ids.ask_for_call(NUMBER)
    assert len(world.posts()) == 4
    world.standin.faults.remove(rule)
    await world.actions.credentials.create("nightly")
    await world.actions.caller_ids.ask_for_call(NUMBER)
