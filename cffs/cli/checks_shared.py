"""The check of the shared server: installed, reached, new enough, limited.

It must not know the service. It waits a few seconds at most, and a mount works whatever it finds, except that what
`--shared` needs must be installed.
"""

from collections.abc import Iterator

import trio

from cffs.cli.checks import Check, fail, ok, warn
from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.core.units import GIB, MIB
from cffs.daemon.sharing import opened_server

_NAME = "shared server"
_FIRST_TRY_SECONDS = 5.0


def shared_checks(settings: Settings) -> Iterator[Check]:
    """The check; none without `--shared`."""
    if settings.shared is not None:
        yield trio.run(_check, settings)


async def _check(settings: Settings) -> Check:
    try:
        async with opened_server(settings, first_try_seconds=_FIRST_TRY_SECONDS) as server:
            from cffs.shared.server_facts import server_facts

            if not server.is_up:
                found = f"{server.shown}: {server.trouble}; a mount works and shares nothing"
                return warn(_NAME, found, "start it, or correct --shared")
            facts = await server_facts(server)
            if facts is None:
                return ok(_NAME, f"{server.shown}; its user may not ask for its settings (INFO)")
            found = f"{server.shown}, {facts.version}, {_memory(facts.maxmemory_nbytes)}, {facts.maxmemory_policy}"
            if not facts.maxmemory_nbytes:
                return warn(_NAME, found, "set maxmemory and maxmemory-policy allkeys-lru in its configuration")
            if facts.maxmemory_policy == "noeviction":
                return warn(_NAME, found, "set maxmemory-policy allkeys-lru: once full it takes nothing now")
            return ok(_NAME, found)
    except UsageError as error:
        found, _, mend = str(error).partition("; ")
        return fail(_NAME, found, mend.removeprefix("run: "))


def _memory(nbytes: int) -> str:
    if not nbytes:
        return "no limit of memory"
    return f"{nbytes / GIB:.1f} GiB" if nbytes >= GIB else f"{nbytes // MIB} MiB"
