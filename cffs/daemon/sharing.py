"""Sharing by `--shared`: its opening for a mount, and what is shown of it.

Owns when the server is opened and closed, and what status.json and notices say of it. It must not know what is kept
there, and it imports nothing of it where the option is not set.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cffs.core.errors import UsageError
from cffs.core.server_url import parse_server_url
from cffs.core.settings import Settings
from cffs.core.source import Api
from cffs.daemon.account_folder import account_identity
from cffs.daemon.background import NurseryBackground, open_background

if TYPE_CHECKING:  # imported where it is asked for
    from cffs.callfire.metadata_transport import MetadataTransport
    from cffs.callfire.transport import Transport
    from cffs.reader.shared_opener import SharedOpener
    from cffs.reader.shared_transfer import BlockSharing
    from cffs.shared.answers import AnswerCounts
    from cffs.shared.request_rate import SharedCounter
    from cffs.shared.server import SharedServer

#: How long a mount waits for the server before it is reported as ready.
_FIRST_TRY_SECONDS = 1.0
MISSING_EXTRA = "--shared needs what this installation lacks; run: pip install 'cffs[shared]'"


@dataclass(slots=True)
class _Pause:
    """Passes on what the service asked another machine for, once there is a transport to hold back."""

    hold: Callable[[Api, float], None] | None = None

    def __call__(self, api: Api, seconds: float) -> None:
        if self.hold is not None:
            self.hold(api, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The server of the account, and what its machines have in common by it."""

    server: "SharedServer"
    counter: "SharedCounter"
    pause: _Pause
    blocks: "BlockSharing"
    answers: "AnswerCounts"
    background: NurseryBackground
    settings: Settings

    def transport_over(self, transport: "Transport") -> "MetadataTransport":
        """The transport for questions about metadata, of which one machine asks each."""
        from cffs.shared.answers import SharedAnswers

        return SharedAnswers(
            transport,
            self.server,
            self.blocks.queue,
            self.background,
            counts=self.answers,
            ttl_seconds=self.settings.dir_ttl_seconds,
            timeout_seconds=self.settings.timeout_seconds,
        )

    def opener_over(self, transport: "Transport") -> "SharedOpener":
        """The opener of ranges, of which one machine fetches each."""
        from cffs.reader.shared_opener import SharedOpener

        return SharedOpener(
            transport,
            self.blocks,
            timeout_seconds=self.settings.timeout_seconds,
            revalidate_seconds=self.settings.revalidate_seconds,
        )

    def notes(self) -> list[str]:
        """The line of status.json, while the server cannot be had."""
        if self.server.is_up:
            return []
        left = "shares nothing"
        if self.settings.rate is not None:
            count = self.counter.machines
            left = f"has {f'1/{count} of the rate' if count > 1 else 'the whole rate'}, and shares nothing"
        return [f"shared server {self.server.shown}: {self.server.trouble}; until it is back this machine {left}"]

    def report(self) -> dict[str, object]:
        """The field `shared` of status.json."""
        server = self.server
        return {
            "shared": {
                "server": server.shown,
                "state": "up" if server.is_up else "gone",
                "reason": server.trouble,
                "state_seconds": round(server.state_seconds(), 3),
                "machines": self.counter.machines,
                "rate": "own share" if self.counter.is_alone else "together",
                "calls": {
                    "answered": server.counts.answered,
                    "refused": server.counts.refused,
                    "failed": server.counts.failed,
                    "not_sent": server.counts.not_sent,
                },
                "blocks": asdict(self.blocks.counts),
                "answers": asdict(self.answers),
                "dropped": self.blocks.queue.dropped,
            }
        }


@asynccontextmanager
async def opened_server(settings: Settings, *, first_try_seconds: float) -> AsyncIterator["SharedServer"]:
    """The server of `--shared`, for the length of the block.

    Entering waits so long at most for the server, which need not be there. Raises UsageError, one line, where this
    installation cannot share.
    """
    try:
        from cffs.shared.server import SharedServer
    except ModuleNotFoundError as error:
        raise UsageError(MISSING_EXTRA) from error
    try:
        server = SharedServer(
            parse_server_url(settings.shared or ""),
            account=account_identity(settings),
            ca_bundle=settings.ca_bundle,
        )
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"--ca-bundle {settings.ca_bundle}: no certificates that can be used") from error
    async with open_background() as background:
        background.start(server.keep_connected)
        await server.first_try(first_try_seconds)
        yield server


@asynccontextmanager
async def opened_sharing(settings: Settings) -> AsyncIterator[Sharing | None]:
    """What is shared, for the length of the block; None without `--shared`, and with `--offline`.

    Entering waits a second at most for the server, which need not be there. Raises UsageError, one line, where this
    installation cannot share.
    """
    if settings.shared is None or settings.offline:
        yield None
        return
    async with opened_server(settings, first_try_seconds=_FIRST_TRY_SECONDS) as server, open_background() as background:
        from cffs.reader.shared_transfer import BlockSharing
        from cffs.shared.answers import AnswerCounts
        from cffs.shared.block_store import BlockStore
        from cffs.shared.lease_keeper import LeaseKeeper
        from cffs.shared.leases import Leases
        from cffs.shared.request_rate import SharedCounter
        from cffs.shared.write_queue import WriteQueue

        pause = _Pause()
        counter = SharedCounter(server, settings.origin().rate, hold=pause)
        background.start(counter.keep_beating)
        queue = WriteQueue(background, is_up=lambda: server.is_up)
        leases = Leases(server, queue)
        yield Sharing(
            server=server,
            counter=counter,
            pause=pause,
            blocks=BlockSharing(
                store=BlockStore(server), leases=leases, keeper=LeaseKeeper(leases, background), queue=queue
            ),
            answers=AnswerCounts(),
            background=background,
            settings=settings,
        )
