"""What a process may inherit from an odd starter, put right before anything else runs: streams, signals, home, locale.

It must not know commands. The entry points of `cli/` call it first; the daemon inherits what they put right.
"""

import io
import locale
import os
import pwd
import signal
import sys

#: Where a uid has no account and no HOME: a path that nothing is at, so that what needs a home says so by its name.
NO_HOME = "/nonexistent"
#: Number, name, how the stream itself is used, and what stands in for a closed one. A closed stdout refuses what is
#: written to it, since it is data that would be lost; nobody misses what is said to a closed stderr.
_STREAMS = (
    (0, "stdin", "r", os.O_RDONLY),
    (1, "stdout", "w", os.O_RDONLY),
    (2, "stderr", "w", os.O_WRONLY),
)


def put_right() -> None:
    """Opens /dev/null for each standard stream that is closed, unblocks every signal, has the ends of children told,
    makes sure that there is a HOME, and that paths and names are UTF-8 whatever the locale. May run the whole program
    anew, so call it before anything else."""
    for number, name, mode, flags in _STREAMS:
        _open_where_closed(number, flags)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # it is the process's
    # a blocked SIGTERM would be blocked in the daemon as well, and nothing but SIGKILL would end it
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else no exit status of a child is ever known
    if not os.environ.get("HOME"):
        os.environ["HOME"] = _home_of_account()
    if not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        # Python settles how it spells paths when it starts; children are told by the variable
        os.environ["PYTHONUTF8"] = "1"
        ourselves = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, ourselves)  # nosec B606  # noqa: S606
    if (encoding := _spoken_encoding()) is not None:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                lenient = "surrogateescape" if stream is sys.stdin else "backslashreplace"
                stream.reconfigure(encoding=encoding, errors=lenient)


def spoken(text: str) -> str:
    """A text of the environment that is no path: what is no UTF-8, a terminal spelt in the locale's encoding."""
    raw, encoding = os.fsencode(text), _spoken_encoding()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return text if encoding is None else raw.decode(encoding, "surrogateescape")


def _spoken_encoding() -> str | None:
    """The encoding of a locale that is not UTF-8, in which terminals write and want to be written to; None otherwise,
    also for C and POSIX, whose terminals show UTF-8."""
    if not sys.flags.utf8_mode or locale.setlocale(locale.LC_CTYPE) in ("C", "POSIX"):
        return None
    encoding = locale.getencoding()
    return None if encoding.lower().replace("-", "") == "utf8" else encoding


def _open_where_closed(number: int, flags: int) -> None:
    """A descriptor that is opened later would take the number, and be written to by whoever means the stream."""
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)  # the lowest free number: mostly this very one
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)


def _home_of_account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir or NO_HOME
    except KeyError:
        return NO_HOME
