"""The credential check for commands: every proof that the settings hold, asked once, with time enough for bad networks.

It must not know what a command makes of a verdict; it imports the network code, so commands import it late.
"""

import trio

from cffs.callfire.credential_check import Proof, Verdict, check, given_proofs
from cffs.callfire.transport import Transport
from cffs.core.settings import Settings

_LIMIT_SECONDS = 10.0


def ask_all(settings: Settings) -> list[Verdict]:
    """The verdict of each proof that the settings hold, in order."""
    return trio.run(_ask_all, settings)


async def _ask_all(settings: Settings) -> list[Verdict]:
    origin = settings.origin()
    verdicts: dict[Proof, Verdict] = {}

    async def ask(proof: Proof) -> None:
        # a transport of its own: a refused login closes v2 to the account's login as well
        async with Transport(origin) as transport:
            (verdicts[proof],) = await check(transport, origin, [proof], limit_seconds=_LIMIT_SECONDS)

    proofs = given_proofs(origin)
    async with trio.open_nursery() as nursery:
        for proof in proofs:
            nursery.start_soon(ask, proof)
    return [verdicts[proof] for proof in proofs]
