"""Whether the credentials are refused, tried for at most a second before the mount is reported.

It must not know what is mounted.
`daemon/graph` calls it (contract section 2: a plain refusal from every API given is an error, anything else mounts).
"""

import trio

from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.core.errors import AccessRefused, CffsError, UsageError
from cffs.core.source import Api

TRY_SECONDS = 1.0
#: v1 has no operation without an id; any list it answers, or denies, proves the key.
_ANY_ID = 1


async def refused(v1: V1Client | None, v2: V2Client | None) -> set[Api]:
    """The APIs that plainly refused their credentials within a second; slow or failing ones are not among them."""
    found: set[Api] = set()

    async def ask_v1(client: V1Client) -> None:
        try:
            await client.list_recordings(_ANY_ID, _ANY_ID)
        except AccessRefused:
            found.add(Api.V1)
        except CffsError:
            pass  # down, slow, or without such a call: the mount comes and recovers by itself

    async def ask_v2(client: V2Client) -> None:
        try:
            await client.get_account()
        except AccessRefused:
            found.add(Api.V2)
        except CffsError:
            pass  # as above

    with trio.move_on_after(TRY_SECONDS):
        async with trio.open_nursery() as nursery:
            if v1 is not None:
                nursery.start_soon(ask_v1, v1)
            if v2 is not None:
                nursery.start_soon(ask_v2, v2)
    return found


def require_some(denied: set[Api], *, v1: V1Client | None, v2: V2Client | None) -> tuple[str, ...]:
    """What is missing where one of the APIs refused, a line each. Raises UsageError where all that were given did."""
    given = {api for api, client in ((Api.V1, v1), (Api.V2, v2)) if client is not None}
    if given and denied >= given:
        names = " and ".join(
            {Api.V1: "v1 refuses the key", Api.V2: "v2 refuses the login"}[api] for api in sorted(given)
        )
        raise UsageError(f"{names}; check the credentials (`cffs config show` tells where they come from)")
    what = {
        Api.V1: "v1 refuses the key, is asked once a minute: mounted without WAVs and dynamic/ but what is cached",
        Api.V2: "v2 refuses the login, is asked once a minute: mounted without listings, MP3s, media/ and me/ but what"
        " is cached",
    }
    return tuple(what[api] for api in sorted(denied))
