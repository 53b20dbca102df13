"""The credential check of a mount: refuse, mount with a notice, ask again.

Owns the verdicts of a running mount, which are asked for until they are known. It must not know how an answer is read
(`callfire/credential_check`).
"""

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import trio

from cffs.callfire.credential_check import Login, LoginVerdict, Outcome, check, given_logins
from cffs.callfire.transport import Transport
from cffs.core import demand
from cffs.core.errors import UsageError
from cffs.core.settings import OriginSettings
from cffs.core.source import Api

log = logging.getLogger(__name__)

#: How long a mount waits for the answers before it is reported as ready.
TRY_SECONDS = 1.0
#: What is not known then is asked again after this pause, which doubles each time, up to a minute: a laptop that was
#: mounted without a network learns soon, and a service that is down is left in peace.
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
#: How long each of these later questions may take; no caller waits for them.
_LATER_SECONDS = 10.0

_LOST = {Api.V1: "WAVs and dynamic/", Api.V2: "listings, MP3s, media/ and me/"}
_NOT_SETTLED = frozenset({Outcome.UNREACHABLE, Outcome.SILENT, Outcome.NOT_THE_SERVICE})


class CredentialsCheck:
    """The verdicts of one mount, at its start and as they become known."""

    def __init__(self, transport: Transport, settings: OriginSettings) -> None:
        self._transport = transport
        self._settings = settings
        self._verdicts: dict[Login, LoginVerdict] = {}

    async def start(self) -> tuple[str, ...]:
        """Ask, for at most a second; returns lines for the user where a part of the mount is missing or not known yet.

        Asks nothing with --offline; otherwise always a checkpoint. Raises UsageError where every API that has
        credentials refuses them, or cannot be this service.
        """
        if self._settings.offline:
            return ()
        await self._ask(_wanted(self._settings), limit_seconds=TRY_SECONDS)
        return start_notices(list(self._verdicts.values()), self._settings)

    async def repeat_until_known(self) -> None:
        """Ask again while an API has not answered, or answers as another service would. Returns once all is known."""
        demand.begin(demand.never)
        pause = _FIRST_PAUSE_SECONDS
        while open_ones := [login for login, verdict in self._verdicts.items() if verdict.outcome in _NOT_SETTLED]:
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await self._ask(open_ones, limit_seconds=_LATER_SECONDS)

    def notes(self) -> list[str]:
        """Lines for status.json about doubtful credentials."""
        shown = (Outcome.NOT_THE_SERVICE, Outcome.DOUBTFUL)
        return [verdict.why for verdict in self._verdicts.values() if verdict.outcome in shown]

    async def _answers(self, logins: Sequence[Login], *, limit_seconds: float) -> list[LoginVerdict]:
        return await check(self._transport, self._settings, logins, limit_seconds=limit_seconds)

    async def _ask(self, logins: Sequence[Login], *, limit_seconds: float) -> None:
        for verdict in await self._answers(logins, limit_seconds=limit_seconds):
            before = self._verdicts.get(verdict.login)
            self._verdicts[verdict.login] = verdict
            if verdict.is_hopeless:
                # a 404 of another service denies nothing, and would empty the tree
                self._transport.refuse(verdict.login.api)
            if before is not None and before.outcome is not verdict.outcome:
                level = logging.WARNING if verdict.is_hopeless else logging.INFO
                log.log(
                    level,
                    "credentials checked login=%s outcome=%s reason=%s",
                    verdict.login,
                    verdict.outcome,
                    verdict.why,
                )


def _wanted(settings: OriginSettings) -> list[Login]:
    """The logins to check at the start. The account's own login opens only one folder, and is tried there."""
    return [login for login in given_logins(settings) if login is not Login.ACCOUNT]


def start_notices(verdicts: Sequence[LoginVerdict], settings: OriginSettings) -> tuple[str, ...]:
    """The notices of a mount with these verdicts. Raises UsageError, one line, where it must not start."""
    if verdicts and all(verdict.is_hopeless for verdict in verdicts):
        refused = any(verdict.outcome is Outcome.REFUSED for verdict in verdicts)
        mend = "; check the credentials (`cffs config show` says where they come from)" if refused else ""
        raise UsageError(" and ".join(verdict.why for verdict in verdicts) + mend)
    lines = [
        f"{verdict.why}; mounted without {_LOST[verdict.login.api]} but what is cached, and asked again once a minute"
        for verdict in verdicts
        if verdict.is_hopeless
    ]
    lines += [f"{verdict.why} (mounted all the same)" for verdict in verdicts if verdict.outcome is Outcome.DOUBTFUL]
    # a service that is merely slow is not worth a line at each mount
    unreachable = [verdict for verdict in verdicts if verdict.outcome is Outcome.UNREACHABLE]
    if unreachable:
        urls = {Api.V1: settings.v1_url, Api.V2: settings.v2_url}
        hosts = " and ".join(dict.fromkeys(_host(urls[verdict.login.api]) for verdict in unreachable))
        why = "; ".join(dict.fromkeys(verdict.why for verdict in unreachable))
        lines.append(
            f"{hosts} cannot be reached ({why}); mounted with what is known here, the rest comes by itself once the"
            " network is there (`cffs doctor` looks closer)"
        )
    return tuple(lines)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc or url
