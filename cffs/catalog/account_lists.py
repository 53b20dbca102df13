"""The account's own lists as they are kept: ids of API credentials, verified numbers, numbers that wait for a code.

It must not know paths, nor when an act is wanted. No password is in any of them, since they lie on disk.
`tree/` shows them, `writer/` changes them by what it did.
"""

from collections.abc import Mapping, Sequence

from cffs.callfire.v2 import V2Client
from cffs.catalog import upserts
from cffs.catalog.paging import walk_pages
from cffs.catalog.store import Catalog
from cffs.core.ids import parse_id
from cffs.core.json_values import as_list, decode, encode

#: Keys of kept documents. The last is ours alone: the service does not tell which numbers wait.
CREDENTIALS = "me/api/credentials"
CALLER_IDS = "me/callerids"
WAITING = "me/callerids/waiting"


async def ask_credentials(v2: V2Client) -> dict[int, str]:
    """The names of all API credentials by their ids, asked page by page."""
    found: dict[int, str] = {}
    async with walk_pages(v2.find_credentials, identify=_id_of) as pages:
        async for page in pages:
            found.update({ident: str(item.get("name")) for item in page.items if (ident := _id_of(item)) is not None})
    return found


def _id_of(credential: Mapping[str, object]) -> int | None:
    return parse_id(str(credential.get("id")))


def kept_list(catalog: Catalog, key: str) -> list[object]:
    """The list kept under `key`, empty where there is none."""
    kept = catalog.document(key)
    return as_list(decode(kept.body, what="a kept list")) if kept is not None else []


async def keep_list(catalog: Catalog, key: str, rows: Sequence[object], *, now_ms: int) -> None:
    """From now on `rows` are the list kept under `key`: an answer, or what an act of ours made of one."""
    body = encode(list(rows))
    await catalog.write(lambda db: upserts.put_document(db, key=key, body=body, now_ms=now_ms))
