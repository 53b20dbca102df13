"""Kept lists of the account: API credentials, verified numbers, waiting numbers.

It owns how they are kept as documents of the catalogue. It must not know paths, nor when an action is wanted. No
password is in any of them, since they lie on disk.
"""

from collections.abc import Mapping, Sequence

from cffs.callfire.v2 import V2Client
from cffs.catalog import upserts
from cffs.catalog.paging import walk_pages
from cffs.catalog.store import Catalog
from cffs.core.ids import parse_id
from cffs.core.json_values import as_list, decode, encode

#: Keys of kept documents. The last one is ours alone: the service does not report which numbers wait for a code.
CREDENTIALS = "me/api/credentials"
CALLER_IDS = "me/callerids"
WAITING = "me/callerids/waiting"


async def ask_credentials(v2: V2Client) -> dict[int, str]:
    """Ask for the names of all API credentials, by their ids, page by page. Always a checkpoint."""
    found: dict[int, str] = {}
    async with walk_pages(v2.find_credentials, identify=_id_of) as pages:
        async for page in pages:
            found.update({ident: str(item.get("name")) for item in page.items if (ident := _id_of(item)) is not None})
    return found


def _id_of(credential: Mapping[str, object]) -> int | None:
    return parse_id(str(credential.get("id")))


def kept_list(catalog: Catalog, key: str) -> list[object]:
    """The list kept under `key`; empty where there is none."""
    kept = catalog.document(key)
    return as_list(decode(kept.body, what="a kept list")) if kept is not None else []


async def keep_list(catalog: Catalog, key: str, rows: Sequence[object], *, now_ms: int) -> None:
    """Replace the list kept under `key` by `rows`: an answer, or an answer with an action of ours applied to it."""
    body = encode(list(rows))
    await catalog.write(lambda db: upserts.put_document(db, key=key, body=body, now_ms=now_ms))
