"""What only a writable mount has: the spool, and the uploads.

A line for the user says what an earlier mount did not send.

Owns the words of that line. It must not know how anything is written.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cffs.callfire.v2 import V2Client
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.background import Background
from cffs.core.ids import Inode
from cffs.core.settings import Settings
from cffs.daemon.hardening import private_folder
from cffs.tree.inodes import InodeTable
from cffs.tree.nodes import UploadNode
from cffs.writer.sender import Sender
from cffs.writer.spool import Leftover, Spool
from cffs.writer.uploads import Uploads

log = logging.getLogger(__name__)

#: Files that are named in the line; the others are counted.
_MOST_NAMED = 5


def leftovers_line(found: list[Leftover], folder: Path) -> str:
    """One line for the user: what an earlier mount left unsent, and where its bytes are."""
    named = [
        f"{left.path.name!a} ({left.nbytes} bytes{', may have arrived' if left.may_have_arrived else ''})"
        for left in found[:_MOST_NAMED]
    ]
    rest = len(found) - len(named)
    more = f" and {rest} more" if rest > 0 else ""
    what = "an upload of an earlier mount was not finished" if len(found) == 1 else "uploads were not finished"
    return f"{what}: {', '.join(named)}{more}; nothing was sent again, the bytes are kept in {folder}"


@asynccontextmanager
async def opened_uploads(
    settings: Settings,
    folder: Path,
    *,
    v2: V2Client | None,
    catalog: Catalog,
    single_flight: SingleFlight,
    background: Background,
    inodes: InodeTable,
    wall_ms: Callable[[], int],
    appeared: Callable[[int], None],
) -> AsyncIterator[tuple[Uploads | None, tuple[str, ...]]]:
    """The uploads of one mount, and a line about what is left of an earlier mount's.

    The uploads are None where media cannot be written; the line is given all the same. At the end, what was sent is
    removed from the spool. `appeared` gets the id of each media file that an upload made.
    """
    spool = Spool(private_folder(folder))
    left = await trio.to_thread.run_sync(spool.leftovers)
    notices = (leftovers_line(left, folder),) if left else ()
    for line in notices:
        log.warning("%s", line)
    if not settings.writable or v2 is None:
        yield None, notices
        return

    def inode_of(number: int) -> Inode:
        return inodes.number(UploadNode(number))

    uploads = Uploads(
        spool=spool,
        sender=Sender(v2, catalog=catalog, single_flight=single_flight, wall_ms=wall_ms, appeared=appeared),
        background=background,
        limit_nbytes=settings.upload_limit_nbytes,
        inode_of=inode_of,
        wall_ms=wall_ms,
    )
    try:
        yield uploads, notices
    finally:
        await uploads.aclose()
