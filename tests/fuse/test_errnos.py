"""The table from exceptions to errnos."""

import errno
from collections.abc import Iterator

import pytest

from cffs.core import errors
from cffs.fuse.errnos import ERRNOS, errno_of


def _subclasses(kind: type[errors.CffsError]) -> Iterator[type[errors.CffsError]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _subclasses(inner)


#: Exceptions that are raised themselves, beside those that derive from them.
GENERAL = {errors.RemoteObjectChanged, errors.MalformedAnswer}
CONCRETE = GENERAL | {
    kind for kind in _subclasses(errors.CffsError) if not kind.__subclasses__() and kind.__module__ == errors.__name__
}


def test_every_concrete_exception_has_exactly_one_row():
    """The table has a row for each exception that is raised, and no other; a derived one has the errno of its base."""
    assert set(ERRNOS) == CONCRETE
    assert all(ERRNOS[kind] == ERRNOS[general] for general in GENERAL for kind in _subclasses(general))


def test_the_families_have_no_row_and_are_eio():
    """A base of a family is not raised. If one were, the application would see EIO, and no crash."""
    for family in (errors.CffsError, errors.OriginFault, errors.OperationRefused):
        assert family not in ERRNOS
        assert errno_of(family("of no kind")) == errno.EIO


def test_no_errno_makes_programs_loop():
    """cat, cp and ffmpeg loop on EAGAIN and EINTR: neither is in the table."""
    assert not {errno.EAGAIN, errno.EINTR, errno.EWOULDBLOCK} & set(ERRNOS.values())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.RemoteObjectMissing("x"), errno.ENOENT),
        (errors.AccessRefused("x"), errno.EACCES),
        (errors.DeadlineExceeded("x"), errno.ETIMEDOUT),
        (errors.OriginUnreachable("x"), errno.EHOSTUNREACH),
        (errors.RemoteObjectChanged("x"), errno.ESTALE),
        (errors.VersionUnclear("x"), errno.ESTALE),
        (errors.ServerFailure(500, "x"), errno.EIO),
        (errors.ServerFailure(404, "x"), errno.EIO),
        (errors.OriginBusy(60), errno.EIO),
        (errors.TruncatedAnswer("x"), errno.EIO),
        (errors.MalformedAnswer("x"), errno.EIO),
        (errors.RecordingBroken("x"), errno.EIO),
        (errors.ReadOnlyMount("x"), errno.EROFS),
        (errors.NotPermitted("x"), errno.EPERM),
        (errors.NotSupported("x"), errno.ENOTSUP),
        (errors.NotAFolder("x"), errno.ENOTDIR),
        (errors.NameTooLong("x"), errno.ENAMETOOLONG),
    ],
)
def test_the_contracts_rows(error, expected):
    """The errnos of `cffs/docs/semantics.md#errors`, row by row."""
    assert errno_of(error) == expected
