"""Repair of an odd starter's inheritance: streams, signals, home, locale.

Owns what the rest of the program may rely on. It must run before anything else, and must not know commands.
"""

import io
import locale
import os
import pwd
import signal
import sys

#: The home of a uid that has no account and no HOME: a path where nothing is, and which says so in an error.
NO_HOME = "/nonexistent"
#: Number, name, the mode of the stream, and how /dev/null is opened in place of a closed one. A closed stdout refuses
#: what is written to it, since that is data that would be lost; what is written to a closed stderr is not missed.
_STREAMS = (
    (0, "stdin", "r", os.O_RDONLY),
    (1, "stdout", "w", os.O_RDONLY),
    (2, "stderr", "w", os.O_WRONLY),
)


def repair_environment() -> None:
    """Open /dev/null for each standard stream that is closed, unblock every signal, let the ends of children be
    reported, make sure that there is a HOME, and have paths and names be UTF-8 whatever the locale.

    May run the whole program again, so it has to be called before anything else.
    """
    for number, name, mode, flags in _STREAMS:
        _open_where_closed(number, flags)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # open for the life of the process
    # a blocked SIGTERM would be blocked in the daemon as well, which only SIGKILL could end then
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the exit status of a child is never known
    if not os.environ.get("HOME"):
        os.environ["HOME"] = _home_of_account()
    if not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        # Python decides at its start how it spells paths; for children the variable decides
        os.environ["PYTHONUTF8"] = "1"
        ourselves = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, ourselves)  # nosec B606  # noqa: S606
    if (encoding := _spoken_encoding()) is not None:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                lenient = "surrogateescape" if stream is sys.stdin else "backslashreplace"
                stream.reconfigure(encoding=encoding, errors=lenient)


def spoken(text: str) -> str:
    """A text of the environment that is no path. Where it is not UTF-8, a terminal wrote it in the locale's
    encoding."""
    raw, encoding = os.fsencode(text), _spoken_encoding()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return text if encoding is None else raw.decode(encoding, "surrogateescape")


def _spoken_encoding() -> str | None:
    """The encoding of a locale that is not UTF-8, which terminals write and read; None otherwise, also for C and POSIX,
    whose terminals show UTF-8."""
    if not sys.flags.utf8_mode or locale.setlocale(locale.LC_CTYPE) in ("C", "POSIX"):
        return None
    encoding = locale.getencoding()
    return None if encoding.lower().replace("-", "") == "utf8" else encoding


def _open_where_closed(number: int, flags: int) -> None:
    """Open /dev/null under the number, where it is free: a file that is opened later would take the number, and would
    get what is written to the stream."""
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)  # the lowest free number, which is nearly always this one
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)


def _home_of_account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir or NO_HOME
    except KeyError:
        return NO_HOME
