"""API credentials: created and deleted by one request each.

Owns the credentials that this mount created; their passwords stay in memory. It must not know paths or the kernel. Of
an answer, nothing but the id is ever logged, kept on disk or shown outside the document itself.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from cffs.callfire.v2 import V2Client
from cffs.catalog.account_lists import CREDENTIALS, ask_credentials, keep_list, kept_list
from cffs.catalog.account_sync import AccountSync
from cffs.core.errors import ActUncertain, AlreadyExists, CffsError, ContentRefused, RemoteObjectMissing
from cffs.core.ids import parse_id
from cffs.core.json_values import encode
from cffs.core.probe_names import is_probe_name
from cffs.writer.cooldown import Cooldown

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Created:
    """A credential that this mount created: its ordinal, its id, and the service's whole answer, with the password."""

    number: int
    credential_id: int
    document: bytes = field(repr=False)


def require_name(name: str) -> None:
    """Raise ContentRefused for what cannot be the name of a credential: a name that is unprintable, has blanks at an
    end, or is meant for something else (a listed credential, a folder that file managers make by habit)."""
    if not name.isprintable() or name != name.strip():
        raise ContentRefused("the name of a credential must be printable, without blanks at its ends")
    if name.endswith(".json") or is_probe_name(name):
        raise ContentRefused(f"{name!r} is no name for a credential")


class ApiCredentials:
    """The credentials that were created in this mount's life, by name."""

    def __init__(self, account: AccountSync, *, wall_ms: Callable[[], int]) -> None:
        self._account = account
        self._wall_ms = wall_ms
        self._created: dict[str, Created] = {}
        self._cooldown = Cooldown()
        self._numbers = count(1)

    def numbered(self) -> list[tuple[int, str]]:
        """The names whose passwords are still known, each with its ordinal, ascending."""
        return [(created.number, name) for name, created in self._created.items()]

    def document(self, name: str) -> bytes:
        """The service's answer when it created `name`. Raises RemoteObjectMissing once that is forgotten."""
        created = self._created.get(name)
        if created is None:
            raise RemoteObjectMissing(f"no credential {name!r} was created by this mount")
        return created.document

    async def create(self, name: str) -> int:
        """Have the service create a credential; returns its id.

        This is one act, sent as `Transport.send` says. Raises AlreadyExists within a minute of the last try;
        ActUncertain where it is not known whether it was created (the service's state was asked, and is in the log).
        Always a checkpoint; cancelled, the credential may have been created.
        """
        require_name(name)
        if name in self._created:
            raise AlreadyExists(f"the credential {name!r} is there")
        v2 = self._v2()
        self._cooldown.begin(name)
        before = self._kept_ids()
        try:
            document = await v2.create_credential(name)
        except ActUncertain:
            await self._log_state(v2, f"whether the credential {name!r} was created", before, name=name)
            raise
        except CffsError:
            self._cooldown.undo(name)
            raise
        credential_id = _id_of(document)
        self._created[name] = Created(next(self._numbers), credential_id, encode(document))
        await self._keep([*self._kept_ids(), credential_id])
        return credential_id

    def forget(self, name: str) -> None:
        """Forget the password; the credential stays. Raises RemoteObjectMissing where none is known."""
        if self._created.pop(name, None) is None:
            raise RemoteObjectMissing(f"no credential {name!r} was created by this mount")

    async def delete(self, credential_id: int) -> list[str]:
        """Have the service delete a credential; returns the names under which its password was known until now.

        This is one act, sent as `Transport.send` says. Raises RemoteObjectMissing where the service has no such
        credential, ActUncertain as `create` does. Always a checkpoint; cancelled, the credential may have been deleted.
        """
        v2 = self._v2()
        try:
            await v2.delete_credential(credential_id)
        except RemoteObjectMissing:
            await self._keep([known for known in self._kept_ids() if known != credential_id])
            raise
        except ActUncertain:
            await self._log_state(v2, f"whether the credential {credential_id} was deleted", self._kept_ids())
            raise
        names = [name for name, created in self._created.items() if created.credential_id == credential_id]
        for name in names:
            del self._created[name]
        await self._keep([known for known in self._kept_ids() if known != credential_id])
        return names

    async def _log_state(self, v2: V2Client, question: str, before: list[int], *, name: str | None = None) -> None:
        """Ask which credentials there are now, keep that, and log it in one line."""
        try:
            names = await ask_credentials(v2)
        except CffsError as error:
            log.warning("uncertain %s: the service could not be asked reason=%s", question, error)
            return
        await self._keep(list(names))
        gone = [known for known in before if known not in names]
        new = [known for known in names if known not in before and (name is None or names[known] == name)]
        log.warning("uncertain %s: the service now lists %d, new ids=%s gone ids=%s", question, len(names), new, gone)

    def _kept_ids(self) -> list[int]:
        return [known for known in kept_list(self._account.catalog, CREDENTIALS) if isinstance(known, int)]

    async def _keep(self, ids: list[int]) -> None:
        await keep_list(self._account.catalog, CREDENTIALS, ids, now_ms=self._wall_ms())

    def _v2(self) -> V2Client:
        if self._account.v2 is None:
            raise RemoteObjectMissing("credentials are v2's")
        return self._account.v2


def _id_of(document: Mapping[str, object]) -> int:
    return parse_id(str(document.get("id"))) or 0
