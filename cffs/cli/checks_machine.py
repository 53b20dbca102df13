"""Checks of this machine: FUSE, limits, folders, running mounts.

It must not know the service. None of the checks waits for the network or for a mount that hangs.
"""

import errno
import os
import re
import resource
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cffs.cli.checks import Check, fail, ok, skip, warn
from cffs.cli.checks_installation import installation_checks, udev_rule
from cffs.cli.control import NoAnswer, ask
from cffs.cli.format_status import size
from cffs.cli.messages import Failed
from cffs.cli.mountpoint import is_dead
from cffs.cli.mounts import cffs_mounts
from cffs.cli.root_owned import INSTALL_FOR_THE_MACHINE, weakness_of
from cffs.core.procfs import Mount
from cffs.core.settings import Settings
from cffs.daemon.hardening import is_open_and_unused
from cffs.daemon.kernel import HANDLER_SHARE, READ_AHEAD_KB, device_of, handler_budget, request_limit_seconds, tuning_of
from cffs.daemon.mount_table import mounts_now

_DEV_FUSE = Path("/dev/fuse")
_FUSE_CONF = Path("/etc/fuse.conf")
_MTAB = Path("/etc/mtab")
_MOUNT_HELPER = Path("/sbin/mount.cffs")
#: Enough for the connections to both APIs, the catalogue and the logs, with some to spare.
_LEAST_FILES = 256
#: With less room than this, the first long recordings evict each other.
_LEAST_FREE_NBYTES = 256 * 2**20
_NETWORK_FILE_SYSTEMS = re.compile(r"nfs|cifs|smb|9p|sshfs|fuse\.|ceph|afs|glusterfs")


def machine_checks(settings: Settings | None, cache_dir: Path, *, of_everyone: bool = False) -> Iterator[Check]:
    """Every check, in the order of its importance: of the user's own mounts, or of everyone's.

    `settings` is None where the configuration is broken.
    """
    mounted = cffs_mounts(of_everyone=of_everyone)
    yield from installation_checks()
    yield _device()
    yield _fusermount()
    yield _allow_other(settings)
    yield _kernel_limit(settings)
    yield _tuning(mounted)
    yield _mount_helper()
    yield _open_files()
    yield from _cache_folder(cache_dir)
    yield from _mounts(mounted)


def _device() -> Check:
    try:
        os.close(os.open(_DEV_FUSE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return fail(str(_DEV_FUSE), "missing", "modprobe fuse (in a container: --device /dev/fuse --cap-add SYS_ADMIN)")
    except OSError as error:
        mend = "chmod 666 /dev/fuse" if error.errno == errno.EACCES else "modprobe fuse"
        return fail(str(_DEV_FUSE), f"cannot be opened: {error.strerror}", mend)
    return ok(str(_DEV_FUSE), "can be opened")


def _fusermount() -> Check:
    tool = shutil.which("fusermount3")
    if tool is None:
        return fail("fusermount3", "not found", "apt install fuse3")
    return ok("fusermount3", tool) if os.geteuid() == 0 else _fusermount_of_user(tool)


def _fusermount_of_user(tool: str, mtab: Path = _MTAB) -> Check:
    """Check what an ordinary user needs of fusermount3 and root does not."""
    name, found = "fusermount3", os.stat(tool)
    if not (found.st_mode & stat.S_ISUID and found.st_uid == 0):
        return fail(name, f"{tool} is not setuid root", f"chown root {tool}; chmod 4755 {tool}")
    if _no_new_privileges():
        return fail(name, "this process may gain no privileges", "take NoNewPrivileges= out of the unit")
    if not mtab.exists():
        mend = f"as root: ln -s ../proc/self/mounts {mtab}"
        return warn(name, f"there is no {mtab}, without which it mounts and cannot unmount", mend)
    return ok(name, tool)


def _no_new_privileges() -> bool:
    try:
        return "NoNewPrivs:\t1" in Path("/proc/self/status").read_text()
    except OSError:
        return False


def _allow_other(settings: Settings | None) -> Check:
    try:
        text = _FUSE_CONF.read_text(errors="replace")
    except OSError:
        text = ""
    allowed = re.search(r"^\s*user_allow_other\s*(#|$)", text, re.MULTILINE) is not None
    wanted = settings is not None and settings.allow_other
    if wanted and not allowed and os.geteuid() != 0:
        return fail("user_allow_other", f"not in {_FUSE_CONF}", f"as root: echo user_allow_other >> {_FUSE_CONF}")
    if wanted:
        return warn("user_allow_other", "every user of this machine may read the mount", "leave --allow-other out")
    return ok("user_allow_other", "allowed, not asked for" if allowed else "not allowed, not asked for")


def _kernel_limit(settings: Settings | None) -> Check:
    name, limit = "request timeout", request_limit_seconds()
    if limit is None:
        return ok(name, "the kernel sets none")
    wanted = (settings.timeout_seconds if settings is not None else 30.0) * HANDLER_SHARE
    got = handler_budget(wanted, limit)
    if got < wanted:
        return warn(name, f"the kernel gives a request {limit} s, so calls end after {got:.0f} s", f"--timeout {limit}")
    return ok(name, f"the kernel gives a request {limit} s, enough for this --timeout")


def _tuning(mounted: Sequence[Mount]) -> Check:
    name = "read-ahead"
    why, mend_for_all = udev_rule()
    if mounted:
        shown = []
        for mount in mounted:
            now = tuning_of(device_of(mount.mountpoint))
            shown.append(
                f"{mount.mountpoint}: {now.read_ahead_kb or '?'} KiB"
                + (f", {now.max_background} in background" if now.max_background else "")
            )
            if (now.read_ahead_kb or 0) < READ_AHEAD_KB:
                device = device_of(mount.mountpoint)
                mend = f"as root: echo {READ_AHEAD_KB} > /sys/class/bdi/0:{device}/read_ahead_kb"
                if why:
                    shown.append(why)
                return warn(name, "; ".join(shown), f"{mend_for_all}; now, {mend}" if mend_for_all else mend)
        return ok(name, "; ".join(shown))
    if os.geteuid() == 0:
        return ok(name, f"raised to {READ_AHEAD_KB} KiB at each mount")
    if not why:
        return ok(name, f"raised to {READ_AHEAD_KB} KiB at each mount, by a udev rule")
    found = f"128 KiB for mounts of ordinary users, not {READ_AHEAD_KB}: {why}"
    return warn(name, found, mend_for_all) if mend_for_all else ok(name, f"{found}; works all the same")


def _mount_helper(helper: Path = _MOUNT_HELPER) -> Check:
    """Check that users cannot change what mount(8) runs as root."""
    name = "mount -t cffs"
    if os.access(helper, os.X_OK):
        why = weakness_of(helper)
        if why is None:
            return ok(name, str(helper))
        return warn(name, f"root runs {helper}, but {why}", f"rm {helper}; {_link('/opt/cffs/bin', helper)}")
    here = Path(sys.argv[0]).resolve().parent
    is_roots = (here / "mount.cffs").exists() and weakness_of(here / "mount.cffs") is None
    mend = f"as root: ln -s {here / 'mount.cffs'} {helper}" if is_roots else _link("/opt/cffs/bin", helper)
    return warn(name, f"no {helper}, which fstab needs", mend)


def _link(folder: str, helper: Path) -> str:
    return f"{INSTALL_FOR_THE_MACHINE} && ln -s {folder}/mount.cffs {helper}"


def _open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _LEAST_FILES:
        return warn("open files", f"at most {soft} (hard limit {hard})", f"ulimit -n {_LEAST_FILES * 4}")
    return ok("open files", f"at most {soft}; an open recording costs none")


def _cache_folder(folder: Path) -> Iterator[Check]:
    name, existing = "cache folder", folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        found, space = os.stat(existing, follow_symlinks=existing != folder), os.statvfs(existing)
    except OSError as error:
        yield fail(name, f"{folder}: {error.strerror}", "give another --cache-dir")
        return
    if existing == folder:
        if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
            yield fail(name, f"{folder} is not a folder of its own", "remove it, or give another --cache-dir")
            return
        if found.st_uid != os.geteuid():
            yield fail(name, f"{folder} belongs to uid {found.st_uid}", "give another --cache-dir")
            return
        if stat.S_IMODE(found.st_mode) & 0o077 and not is_open_and_unused(found, folder):
            yield fail(name, f"{folder} is open to others", f"chmod 700 {folder}")
            return
    elif not os.access(existing, os.W_OK):
        yield fail(name, f"{folder} cannot be made below {existing}", "give another --cache-dir")
        return
    free, kind = space.f_bavail * space.f_frsize, _file_system(existing)
    shown = f"{folder} on {kind}, {size(free)} free"
    if _NETWORK_FILE_SYSTEMS.search(kind):
        yield warn(name, shown, "a local disk is faster and locks reliably: --cache-dir")
    elif free < _LEAST_FREE_NBYTES:
        yield warn(name, shown, "make room, or --cache-size 0")
    else:
        yield ok(name, shown)


def _file_system(folder: Path) -> str:
    """The type of the file system that the folder lies on, by the mount table."""
    best, kind = -1, "?"
    for mount in mounts_now():
        whole = mount.mountpoint == folder or mount.mountpoint in folder.parents
        if whole and len(mount.mountpoint.parts) >= best:
            best, kind = len(mount.mountpoint.parts), mount.filesystem
    return kind


def _mounts(mounted: Sequence[Mount]) -> Iterator[Check]:
    well = []
    for mount in mounted:
        try:
            ask(mount, "hello")
        except NoAnswer:
            mend = f"cffs umount --lazy {mount.mountpoint}"
            yield warn("mounts", f"{mount.mountpoint} is stuck: its daemon does not answer", mend)
            continue
        except Failed:
            if is_dead(mount.mountpoint):
                yield warn(
                    "mounts", f"{mount.mountpoint} is dead: its daemon is gone", f"cffs umount {mount.mountpoint}"
                )
                continue
        well.append(str(mount.mountpoint))
    if well or not mounted:
        yield ok("mounts", ", ".join(well)) if well else skip("mounts", "none")
