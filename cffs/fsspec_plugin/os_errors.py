"""Errors of Python's own for those of cffs, with the errno that a mount gives.

Owns the wording. It must not know why something was raised; the errnos are those of `fuse/errnos`.
"""

import os

import trio

from cffs.core.errors import CffsError, DeadlineExceeded, ReadOnlyMount
from cffs.fuse.errnos import errno_of

#: What goes wrong in a call, and becomes an OSError.
Failure = CffsError | trio.TooSlowError
#: What says that there is nothing at a path. Any other error says nothing of the kind: a service that cannot be reached
#: must not make a file look gone.
MISSING = (FileNotFoundError, NotADirectoryError)
#: Of these errnos the class says all there is to say.
_PLAIN = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


def os_error(problem: Failure, path: str) -> OSError:
    """The OSError of the class that Python has for its errno, such as FileNotFoundError.

    No message holds a secret: those of `core/errors` do not.
    """
    if isinstance(problem, trio.TooSlowError):
        problem = DeadlineExceeded("the service did not answer within the timeout")
    number = errno_of(problem)
    error = OSError(number, os.strerror(number), path)
    reason = str(problem)
    if isinstance(error, _PLAIN) or not reason:
        return error
    return OSError(number, f"{error.strerror} ({reason})", path)


def refused_write(path: str) -> PermissionError:
    """What every call raises that would change something. Its errno is that of a read-only mount."""
    number = errno_of(ReadOnlyMount())
    why = "callfire:// only reads; cffs mount --writable writes"
    return PermissionError(number, f"{os.strerror(number)} ({why})", path)
