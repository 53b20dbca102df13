"""The credential check for commands: each login is asked once, with patience.

It must not know what a command makes of a verdict. It imports the network code, so commands import it late.
"""

import trio

from cffs.callfire.credential_check import Login, LoginVerdict, check, given_logins
from cffs.callfire.transport import Transport
from cffs.core.settings import Settings

_LIMIT_SECONDS = 10.0


def ask_all(settings: Settings) -> list[LoginVerdict]:
    """The verdict of each login that the settings hold, in order."""
    return trio.run(_ask_all, settings)


async def _ask_all(settings: Settings) -> list[LoginVerdict]:
    origin = settings.origin()
    verdicts: dict[Login, LoginVerdict] = {}

    async def ask(login: Login) -> None:
        # each login has a transport of its own, because a refused login closes v2 to the account's login as well
        async with Transport(origin) as transport:
            (verdicts[login],) = await check(transport, origin, [login], limit_seconds=_LIMIT_SECONDS)

    logins = given_logins(origin)
    async with trio.open_nursery() as nursery:
        for login in logins:
            nursery.start_soon(ask, login)
    return [verdicts[login] for login in logins]
