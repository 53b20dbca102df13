"""One question to each API that has credentials: accepted, refused, or no answer.

It must not know commands beyond its callers, `cli/login` and `cli/doctor`; it imports the network code.
"""

from dataclasses import dataclass

import trio

from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.cli.messages import Failed
from cffs.core.errors import AccessRefused, CffsError, OriginFault, RemoteObjectMissing
from cffs.core.settings import Settings
from cffs.core.source import Api

_LIMIT_SECONDS = 10.0
#: v1 has no operation without an id; any list it answers, or denies, proves the key.
_ANY_ID = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one API said: `accepted` is None where it did not say. `why` is one line without a secret."""

    api: Api
    accepted: bool | None
    seconds: float
    why: str = ""


def ask_both(settings: Settings) -> list[Verdict]:
    """The verdict of each API that has credentials, in order."""
    return trio.run(_ask_both, settings)


def accepted(settings: Settings) -> str:
    """In a few words, for the end of a line; raises Failed where every API that was asked refuses."""
    verdicts = ask_both(settings)
    if verdicts and all(verdict.accepted is False for verdict in verdicts):
        names = " and ".join(f"{verdict.api} refuses them" for verdict in verdicts)
        raise Failed(f"{names}; nothing was changed (--no-check stores them all the same)")
    words = {True: "accepted", False: "REFUSED", None: "no answer"}
    return "".join(f", {verdict.api} {words[verdict.accepted]}" for verdict in verdicts)


async def _ask_both(settings: Settings) -> list[Verdict]:
    found: dict[Api, Verdict] = {}

    async def ask(api: Api, transport: Transport) -> None:
        started = trio.current_time()
        told, why = None, f"no answer within {_LIMIT_SECONDS:.0f} s"
        with trio.move_on_after(_LIMIT_SECONDS):
            told, why = await _told(api, transport, settings)
        found[api] = Verdict(api=api, accepted=told, seconds=trio.current_time() - started, why=why)

    async with Transport(settings.origin()) as transport, trio.open_nursery() as nursery:
        if settings.credentials.has_v1:
            nursery.start_soon(ask, Api.V1, transport)
        if settings.credentials.has_v2:
            nursery.start_soon(ask, Api.V2, transport)
    return [found[api] for api in Api if api in found]


async def _told(api: Api, transport: Transport, settings: Settings) -> tuple[bool | None, str]:
    try:
        if api is Api.V1:
            await V1Client(transport, base_url=settings.v1_url).list_recordings(_ANY_ID, _ANY_ID)
        else:
            await V2Client(transport).get_account()
    except AccessRefused:
        return False, "refuses the credentials"
    except RemoteObjectMissing:
        return True, ""  # the key was good enough for a denial
    except OriginFault as error:
        return None, f"answers, but not as expected: {error}"
    except CffsError as error:
        return None, str(error)
    return True, ""
