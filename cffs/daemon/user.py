"""Becoming another user for good, and acting as one for a moment; both only from root.

It must not know what is done as that user. `daemon/root_helper` becomes, `cli/options` acts.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cffs.daemon.hardening import harden
from cffs.daemon.inherited_environment import NO_HOME


def become(uid: int, gid: int, *, debug: bool) -> None:
    """This process is that user from now on, without any other group, and hardened again: the kernel makes a process
    that changes its uid dumpable. The environment tells that user's home and no folders of root's."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid) or os.getgroups() not in ([], [gid]):
        raise PermissionError("the change of user did not hold")
    harden(debug=debug)
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]
    name, home = account_of(uid)
    os.environ |= {"HOME": str(home), "USER": name, "LOGNAME": name}


def account_of(uid: int) -> tuple[str, Path]:
    """Name and home of a uid; one without an account has a number and no home."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), Path(NO_HOME)
    return account.pw_name, Path(account.pw_dir)


@contextmanager
def acting_as(uid: int | None, gid: int) -> Iterator[None]:
    """What is read in the block is read with that user's rights; nothing happens for None, or where we are not root."""
    if uid is None or uid == 0 or os.geteuid() != 0:
        yield
        return
    groups, own_gid = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_gid)
        os.setgroups(groups)
