"""A minimal daemon with a mount of type fuse.cffs, run as a program.

Its tree is one file and `.cffs/status.json`.
"""

import errno
import json
import os
import stat
import sys

import pyfuse3
import trio

from cffs.daemon.hardening import harden

ROOT, FILE, OWN, STATUS = pyfuse3.ROOT_INODE, 2, 3, 4
NAMES = {(ROOT, b"file"): FILE, (ROOT, b".cffs"): OWN, (OWN, b"status.json"): STATUS}


class Tiny(pyfuse3.Operations):
    """Just enough for cat, ls and cd."""

    def __init__(self, mountpoint: str) -> None:
        super().__init__()
        told = {"pid": os.getpid(), "mountpoint": mountpoint, "version": "0", "origin": {"state": "online"}}
        self.data = {FILE: b"hello\n", STATUS: json.dumps(told).encode()}

    async def getattr(self, inode, ctx=None):
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = stat.S_IFREG | 0o444 if inode in self.data else stat.S_IFDIR | 0o555
        entry.st_size = len(self.data.get(inode, b""))
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        return entry

    async def lookup(self, parent_inode, name, ctx=None):
        if (parent_inode, name) not in NAMES:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(NAMES[parent_inode, name])

    async def opendir(self, inode, ctx):
        return inode

    async def readdir(self, fh, start_id, token):
        if fh == ROOT and start_id == 0:
            pyfuse3.readdir_reply(token, b"file", await self.getattr(FILE), 1)

    async def open(self, inode, flags, ctx):
        return pyfuse3.FileInfo(fh=inode)

    async def read(self, fh, off, size):
        return self.data[fh][off : off + size]


def main(mountpoint: str) -> None:
    """Mount, print `ready`, and serve until unmounted or ended by a signal."""
    options = {*pyfuse3.default_options, "fsname=callfire:default", "subtype=cffs", "ro"}
    harden(debug=False)  # as the real daemon: mounting through fusermount3 must work all the same
    pyfuse3.init(Tiny(mountpoint), mountpoint, options)
    print("ready", flush=True)
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main(sys.argv[1])
