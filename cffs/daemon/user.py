"""Changes of user, from root only: for good, or for a moment.

Owns what such a change takes along. It must not know what is done as that user.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cffs.daemon.hardening import harden
from cffs.daemon.inherited_environment import NO_HOME


def become(uid: int, gid: int, *, debug: bool) -> None:
    """Become that user for good, without any other group, and harden the process again, since the kernel makes one that
    changes its uid dumpable. The environment then names that user's home, and no folder of root's."""
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
    """The name and the home of a uid; without an account these are the number and no home."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), Path(NO_HOME)
    return account.pw_name, Path(account.pw_dir)


@contextmanager
def acting_as(uid: int | None, gid: int) -> Iterator[None]:
    """Read with that user's rights within the block. Does nothing for None, or where we are not root."""
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
