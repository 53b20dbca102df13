"""Operations that note who read what: callers, paths, counted bytes."""

import json
import os
from pathlib import Path

from cffs.daemon.audit_log import AuditLog
from cffs.daemon.audited_operations import AuditedOperations, caller, noting
from cffs.standin.account import Account
from cffs.standin.server import Standin
from tests.fuse.kernel import CONTEXT, Kernel, take_entry
from tests.fuse.kernelless_mount import built, settings_of


def test_a_caller_is_named_by_what_it_runs(tmp_path):
    """A thread stands for its process. A program whose file may not be seen is given by its name, and one that is gone
    is None."""
    assert caller(os.getpid()) == (os.getpid(), os.readlink("/proc/self/exe"))
    for folder, status in (("7", "Name:\tx\nTgid:\t6\n"), ("6", "Tgid:\t6\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "status").write_text(status)
        (tmp_path / folder / "comm").write_text(f"program{folder}\n")
    assert caller(7, proc=tmp_path) == (6, "program6")
    assert caller(8, proc=tmp_path) == (8, None)


async def test_bytes_are_counted_by_path(tmp_path: Path):
    """A recording is a line at its last close: with the path that a listing or a lookup showed, and all bytes read of
    it, from memory or not. What is still open when the mount ends is a line as well; rendered files are none."""
    path, audit = tmp_path / "audit", AuditLog(tmp_path / "audit")
    with audit.writing():
        async with (
            Standin(Account(seed=5, calls=4)) as standin,
            built(standin, settings_of(standin, tmp_path), tmp_path, 10.0, readdir_reply=noting(take_entry)) as mount,
        ):
            audited = AuditedOperations(
                mount.handlers, kernel=mount.state, audit=audit, now_ns=lambda: 1_795_000_000 * 10**9
            )
            kernel = Kernel(audited)
            name, other = [name for name in await kernel.listing("recordings") if name.endswith(".mp3")][:2]
            body = await kernel.read(f"recordings/{name}")
            await kernel.read(f"recordings/{name.removesuffix('.mp3')}.json")
            inode = await kernel.inode(f"recordings/{other}")
            info = await audited.open(inode, os.O_RDONLY, CONTEXT)
            assert info.keep_cache is False
            data = await audited.read(info.fh, 0, 100)
            assert audited.try_read(info.fh, 0, 100) == data
            audited.note_open_files()
            await audited.release(info.fh)
            await kernel.forget_all()
            assert audited._names == {}
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["path"], first["bytes_read"]) == (f"recordings/{name}", len(body))
    assert (second["path"], second["bytes_read"]) == (f"recordings/{other}", 200)
    assert first["uid"] == CONTEXT.uid
