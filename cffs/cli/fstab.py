"""Parser of the `-o` list of mount(8) and /etc/fstab.

It owns which options of others are passed over. It must not know the other sources of settings: its result is the
option layer.
"""

from cffs.cli.groups import did_you_mean
from cffs.core.errors import UsageError
from cffs.core.settings_options import BY_NAME, CREDENTIALS, OptionKind, parse

#: Options for mount(8), systemd and libmount, and those that describe what this mount always is.
_STRIPPED = frozenset(
    {
        *("defaults", "auto", "noauto", "user", "users", "nouser", "owner", "group", "nofail", "_netdev", "rw"),
        *("nosuid", "nodev", "noexec", "async", "atime", "noatime", "relatime", "norelatime", "nodiratime"),
        *("strictatime", "lazytime", "nolazytime", "default_permissions", "sync", "dirsync", "silent", "loud"),
        *("iversion", "noiversion", "mand", "nomand", "nosymfollow", "symfollow", "uhelper", "helper", "context"),
        "remount",  # handled by `remounts`
        # FUSE's own: what they ask for is always so, or is decided here
        *("fsname", "subtype", "kernel_cache", "auto_cache", "noauto_cache", "async_read", "sync_read", "big_writes"),
        *("attr_timeout", "entry_timeout", "negative_timeout", "ac_attr_timeout", "max_read", "max_readahead"),
        *("max_background", "congestion_threshold", "use_ino", "readdir_ino", "auto_unmount", "noforget"),
        *("nonempty", "intr", "intr_signal", "hard_remove", "atomic_o_trunc", "splice_read", "splice_write"),
        *("splice_move", "no_splice_read", "no_splice_write", "no_splice_move", "blksize"),
    }
)
#: What the mount never is; accepting these would be a lie.
_NEVER = frozenset({"suid", "dev", "exec"})
#: What other file systems of FUSE offer and cffs does not, each with the message that says so.
_NOT_OFFERED = {
    "allow_root": "not offered; allow_other lets every user in",
    "clone_fd": "not offered; one thread reads all requests of the kernel",
    "io_uring": "not offered; requests come through /dev/fuse",
}


def parse_mount_options(text: str, *, sloppy: bool = False) -> dict[str, object]:
    r"""The options that one `-o` argument gives, each checked. Raises UsageError with one line.

    `"a,b"` and `\,` keep a comma inside a value; so does a value of `formats`. `sloppy` (mount -s) drops unknown ones.
    """
    options: dict[str, object] = {}
    read_only = False
    for item in _split(text):
        name, equals, value = item.partition("=")
        name = name.strip()
        if not name or name in _STRIPPED or name[:2] in ("x-", "X-") or name == "comment":
            continue
        if name in _NOT_OFFERED and (not sloppy or name == "allow_root"):
            raise UsageError(f"-o {name}: {_NOT_OFFERED[name]}")
        if name == "ro":
            read_only = True
        elif name in _NEVER:
            raise UsageError(f"-o {name}: the mount is always nosuid, nodev and noexec")
        elif (plain := name.replace("-", "_")) in CREDENTIALS or plain.removesuffix("_file") in CREDENTIALS:
            raise UsageError(f"-o {name}: credentials never go on the command line; use the config file")
        elif plain in BY_NAME:
            option = BY_NAME[plain]
            if not equals and option.kind is not OptionKind.FLAG:
                raise UsageError(f"-o {name} needs a value: {name}=...")
            options[plain] = value if equals else "yes"
            try:
                parse(option, options[plain])
            except UsageError as error:
                raise UsageError(f"-o {name}: {error}") from error
        elif (
            plain.removeprefix("no") in BY_NAME
            and BY_NAME[plain.removeprefix("no")].kind is OptionKind.FLAG
            and not equals
        ):
            options[plain.removeprefix("no")] = "no"
        elif not sloppy:
            raise UsageError(f"-o {name}: no such option{did_you_mean(plain, list(BY_NAME))}")
    if read_only:
        if options.get("writable", "no") != "no":
            raise UsageError("-o ro and -o writable contradict each other")
        options["writable"] = "no"
    return options


def remounts(text: str, *, before: tuple[bool, bool] = (False, False)) -> tuple[bool, bool]:
    """Whether the `-o` arguments up to this one ask for a remount, and for a read-only mount.

    `before` is what those before it asked for.
    """
    is_remount, is_read_only = before
    for item in _split(text):
        name = item.strip()
        is_remount = is_remount or name == "remount"
        is_read_only = name == "ro" if name in ("ro", "rw") else is_read_only
    return is_remount, is_read_only


def _split(text: str) -> list[str]:
    items, current, quoted, characters = [], "", False, iter(text)
    for character in characters:
        if character == "\\":
            current += next(characters, "")
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            items.append(current)
            current = ""
        else:
            current += character
    if quoted:
        raise UsageError("-o: a quotation mark is left open")
    items.append(current)
    joined: list[str] = []
    for item in items:
        # formats=mp3,wav needs no quotes
        if item in ("mp3", "wav") and joined and joined[-1] in ("formats=mp3", "formats=wav"):
            joined[-1] += f",{item}"
        else:
            joined.append(item)
    return joined
