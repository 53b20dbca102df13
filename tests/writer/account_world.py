"""The actions of one mount's life, against the stand-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cffs.callfire.transport import Transport
from cffs.callfire.v2 import V2Client
from cffs.catalog.account_sync import AccountSync
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.settings import Credentials, OriginSettings
from cffs.daemon.background import open_background
from cffs.standin.server import Standin
from cffs.writer.account_actions import AccountActions

#: A telephone number that no account has.
NUMBER = "12135551122"


@dataclass
class World:
    """What a test looks into; `wall_ms` may be moved."""

    standin: Standin
    catalog: Catalog
    actions: AccountActions
    wall_ms: int = 1_795_000_000_000

    def posts(self) -> list[tuple[str, str]]:
        """The requests that changed something: method and operation."""
        return [(record.method, record.kind) for record in self.standin.requests if record.method != "GET"]


@asynccontextmanager
async def opened(standin: Standin, folder: Path) -> AsyncIterator[World]:
    """The actions of one mount's life."""
    given = standin.credentials
    settings = OriginSettings(
        v1_url=standin.v1_url,
        v2_url=standin.v2_url,
        credentials=Credentials(
            login=given.login,
            password=given.password,
            account_login=given.account_login,
            account_password=given.account_password,
        ),
        timeout_seconds=4.0,
        connections=4,
        ca_bundle=None,
        insecure_http=False,
        offline=False,
    )
    async with (
        open_background() as background,
        Transport(settings) as transport,
        Catalog.opened(folder / "catalog.sqlite") as catalog,
    ):
        account = AccountSync(
            catalog=catalog,
            single_flight=SingleFlight(background, timeout_seconds=4.0, is_offline=lambda _api: False),
            v1=None,
            v2=V2Client(transport),
            has_account_login=True,
            ttl_seconds=60,
            wall_ms=lambda: 0,
        )
        world = World(standin, catalog, None)  # type: ignore[arg-type]  # in the next line
        world.actions = AccountActions(account, wall_ms=lambda: world.wall_ms)
        yield world
