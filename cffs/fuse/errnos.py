"""The one table from our exceptions to errnos (`cffs/docs/semantics.md#errors`).

Owns the errno of each exception. It must not know why something was raised. A test holds that every concrete exception
has exactly one row.
"""

import errno

from cffs.core import errors

ERRNOS: dict[type[errors.CffsError], int] = {
    errors.RemoteObjectMissing: errno.ENOENT,
    errors.NotInTree: errno.ENOENT,
    errors.AccessRefused: errno.EACCES,
    errors.DeadlineExceeded: errno.ETIMEDOUT,
    errors.OriginUnreachable: errno.EHOSTUNREACH,
    errors.LocalShortage: errno.EIO,
    errors.CatalogueDamaged: errno.EIO,
    errors.RemoteObjectChanged: errno.ESTALE,
    errors.VersionUnclear: errno.ESTALE,
    errors.PossiblyPartial: errno.ESTALE,
    errors.ServerFailure: errno.EIO,
    errors.ObjectRefused: errno.EIO,
    errors.OriginBusy: errno.EIO,
    errors.MalformedAnswer: errno.EIO,
    errors.EmptyBody: errno.EIO,
    errors.MuchShorter: errno.EIO,
    errors.TruncatedAnswer: errno.EIO,
    errors.RangeNotSatisfiable: errno.EIO,
    errors.OperationNotOffered: errno.EIO,
    errors.RecordingBroken: errno.EIO,
    errors.ActUncertain: errno.EIO,
    errors.ActRefused: errno.EINVAL,
    errors.DuplicateMedia: errno.EEXIST,
    errors.UploadTooLarge: errno.EFBIG,
    errors.ContentRefused: errno.EINVAL,
    errors.AlreadyExists: errno.EEXIST,
    errors.TooLarge: errno.EFBIG,
    errors.SpoolFull: errno.ENOSPC,
    errors.SpoolFailed: errno.EIO,
    errors.AlreadySent: errno.EIO,
    errors.ReadOnlyMount: errno.EROFS,
    errors.NotSupported: errno.ENOTSUP,
    errors.NoSuchAttribute: errno.ENODATA,
    errors.NeverAskAgain: errno.ENOSYS,
    errors.NotPermitted: errno.EPERM,
    errors.NotAFolder: errno.ENOTDIR,
    errors.IsAFolder: errno.EISDIR,
    errors.FolderNotEmpty: errno.ENOTEMPTY,
    errors.Busy: errno.EBUSY,
    errors.NameTooLong: errno.ENAMETOOLONG,
    errors.StaleHandle: errno.ESTALE,
    errors.BadArgument: errno.EINVAL,
    errors.UsageError: errno.EINVAL,
}


def errno_of(error: errors.CffsError) -> int:
    """The errno that an application sees for `error`; EIO for a family without a row of its own."""
    return ERRNOS.get(type(error), errno.EIO)
