"""The disk cache of a mount: its folder, how it is opened, its commands.

Owns where the cache lies in the account's cache folder: `FOLDER`, by which the command line finds the cache without a
mount. It must not know what reads from the cache.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import trio

from cffs.cache.disk import DiskCache
from cffs.cache.disk_index import DiskIndex
from cffs.core.errors import CffsError, UsageError
from cffs.core.ids import Inode
from cffs.daemon.control import Command, Progress
from cffs.daemon.hardening import private_folder
from cffs.tree.contents import Remote
from cffs.tree.namespace import Namespace

#: Below the account's cache folder.
FOLDER = "blocks"


async def open_disk_cache(account_folder: Path, *, limit_nbytes: int, most_open_files: int) -> DiskCache:
    """The account's disk cache, scanned and brought within the limit. Always a checkpoint. Raises UsageError where the
    folder is not ours alone."""
    folder = private_folder(account_folder / FOLDER)
    disk = DiskCache(
        folder,
        limit_nbytes=limit_nbytes,
        timer=trio.current_time,
        wall_seconds=_wall_seconds,
        most_open_files=most_open_files,
    )
    await trio.to_thread.run_sync(disk.scan)
    return disk


def trouble_notes(disk: DiskCache) -> list[str]:
    """Lines for status.json about what is wrong with the disk cache."""
    folder = disk.index.folder
    return [f"cache: {disk.trouble}; what is read is not kept in {folder}"] if disk.trouble else []


def shrink(index: DiskIndex, command: str, arguments: Mapping[str, object]) -> int:
    """Carry out `cache-prune` (`limit_bytes`, `unused_seconds`) or `cache-clear` (`pinned`); returns the bytes that
    were freed. Raises UsageError for arguments that make no sense."""
    if command == "cache-clear":
        return index.clear(pinned_too=arguments.get("pinned") is True)
    limit_nbytes, unused_seconds = arguments.get("limit_bytes"), arguments.get("unused_seconds")
    for value in (limit_nbytes, unused_seconds):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise UsageError("limit_bytes and unused_seconds are numbers of 0 or more")
    return index.prune(
        limit_nbytes=limit_nbytes if isinstance(limit_nbytes, int) else index.used_nbytes,
        unused_since=_wall_seconds() - unused_seconds if isinstance(unused_seconds, int) else 0.0,
    )


def cache_commands(disk: DiskCache, namespace: Namespace) -> dict[str, Command]:
    """What the control socket can be asked about the disk cache."""

    async def prune(arguments: Mapping[str, object], _progress: Progress) -> object:
        return {"freed_bytes": shrink(disk.index, "cache-prune", arguments)}

    async def clear(arguments: Mapping[str, object], _progress: Progress) -> object:
        return {"freed_bytes": shrink(disk.index, "cache-clear", arguments)}

    async def pin(arguments: Mapping[str, object], _progress: Progress) -> object:
        """Pin or unpin (`pinned`) the `inodes` of files that the client has open; returns those of which nothing is
        kept."""
        inodes, pinned = arguments.get("inodes"), arguments.get("pinned")
        if not isinstance(inodes, list) or not isinstance(pinned, bool):
            raise UsageError("inodes is a list, pinned true or false")
        return {"missing": [inode for inode in inodes if not _is_pinned(inode, pinned=pinned)]}

    def _is_pinned(inode: object, *, pinned: bool) -> bool:
        try:
            content = namespace.content(namespace.inodes.node(Inode(int(str(inode)))))
        except (CffsError, ValueError):
            return False
        return isinstance(content, Remote) and disk.set_pinned(content.key, pinned=pinned)

    return {"cache-prune": prune, "cache-clear": clear, "cache-pin": pin}


def _wall_seconds() -> float:
    return time.time_ns() / 1e9
