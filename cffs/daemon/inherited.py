"""What a process may inherit from an odd starter, put right before anything else runs: streams, signals, a home.

It must not know commands. The entry points of `cli/` call it first; the daemon inherits what they put right.
"""

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
    and makes sure that there is a HOME."""
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
