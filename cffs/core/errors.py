"""The exception tree: one type for each thing that can go wrong.

What the service, the tree or a program does wrong is one of these, and `fuse/errnos` gives each exactly one errno.
ValueError and TypeError are for arguments and texts that a caller has to check; sqlite3.Error and OSError pass where a
docstring says so. It owns the types, their fields and their messages; no message holds a credential, or a URL with a
query. It must not know errnos, HTTP libraries or where an error is shown.

    CffsError
    ├── RemoteObjectMissing        the service says that it does not have it (404, 410)
    ├── NotInTree                  a name that no rule of the tree allows
    ├── AccessRefused              bad credentials or not allowed (401, 403)
    ├── DeadlineExceeded           the time of the call is used up
    ├── OriginUnreachable          no route, no name, refused, or offline and not known here
    ├── LocalShortage              this machine has no descriptor or memory left for the question
    ├── CatalogueDamaged           what is known of the account cannot be read; the next mount begins it afresh
    ├── RemoteObjectChanged        another version than the one opened
    │   └── VersionUnclear         the same total under another validator: another version, or another machine
    ├── OriginFault                everything else that the service does wrong
    │   ├── UnexpectedStatus       a status other than 2xx, of two kinds:
    │   │   ├── ServerFailure      one that no other row takes (5xx, 4xx, 3xx without a target)
    │   │   └── ObjectRefused      405 or 501 for one object: that does not prove that the operation does not exist
    │   ├── OriginBusy             429, 503 with Retry-After, or words of a rate limit, longer than the caller can wait
    │   ├── MalformedAnswer        an answer that is not what was asked for
    │   │   ├── EmptyBody          an answer without a byte about an object that must have some
    │   │   └── MuchShorter        a whole answer, or an empty one, where the object is known to have much more
    │   ├── TruncatedAnswer        fewer bytes than promised
    │   ├── RangeNotSatisfiable    the asked range lies beyond the end (416), with the total where the answer names it
    │   ├── OperationNotOffered    the operation does not exist at this origin (405, 501; 404 of a listing)
    │   ├── ActUncertain           an upload, a credential or a phone call that may have happened, or not
    │   ├── ActRefused             an act that the service read and refused (400, 409, 415, 422)
    │   ├── DuplicateMedia         an upload of content that is there already, with its id
    │   ├── UploadTooLarge         an upload of more than the service takes (413)
    │   └── RecordingBroken        the service itself calls the recording broken (state ERROR)
    ├── WriteRefused               what is being written here cannot be taken; nothing was sent
    │   ├── ContentRefused         a name, a type or a content that is not accepted
    │   ├── AlreadyExists          it is there already, or was asked for just now
    │   ├── TooLarge               more bytes than --upload-limit
    │   ├── SpoolFull              no room on this machine
    │   ├── SpoolFailed            this machine's disk failed, or the writing program was killed
    │   └── AlreadySent            bytes that came after the file was sent
    ├── OperationRefused           the mount does not do that
    │   ├── ReadOnlyMount          writing without --writable
    │   ├── NotSupported           extended attributes and the like
    │   ├── NoSuchAttribute        an extended attribute that the file does not have
    │   ├── NeverAskAgain          not supported, and the kernel need not ask again while the mount lives
    │   ├── NotPermitted           links, device nodes
    │   ├── NotAFolder / IsAFolder
    │   ├── FolderNotEmpty
    │   ├── Busy                   what is being sent cannot be opened, renamed or removed
    │   ├── NameTooLong            over 255 bytes
    │   ├── StaleHandle            a handle of an earlier life
    │   └── BadArgument
    └── UsageError                 what the user asked for cannot be done: one line for the command line
"""


class CffsError(Exception):
    """The root: anything cffs raises on purpose."""


class RemoteObjectMissing(CffsError):
    """The service answered that it does not have the object (404, 410). `answered_at` is when it did, on the clock of
    the cache that remembers it; None where that is now."""

    answered_at: float | None = None


class NotInTree(CffsError):
    """The name fits no rule of the tree; no request was made to learn that."""


class AccessRefused(CffsError):
    """The service refused the credentials, or this object to them (401, 403)."""


class DeadlineExceeded(CffsError):
    """The deadline of the call passed before an answer came; the request may still be under way."""


class OriginUnreachable(CffsError):
    """No connection to the service: no route, DNS, refused, or known to be offline."""


class LocalShortage(CffsError):
    """This machine has no descriptor, or no memory, left to ask the service: no request was sent."""


class CatalogueDamaged(CffsError):
    """A row of the catalogue cannot be read: its file was damaged after it was written."""


class RemoteObjectChanged(CffsError):
    """The object's validator or total is not that of the version that was opened."""


class VersionUnclear(RemoteObjectChanged):
    """Only the validator differs: the bytes may be those of the version that was opened, or not."""


class PossiblyPartial(RemoteObjectChanged):
    """What came was dropped: it was asked for while the object may still have been being made. A new request brings the
    rest."""


class OriginFault(CffsError):
    """The service answered, but not with what was asked for, or the result of an act is not known."""


class UnexpectedStatus(OriginFault):
    """An answer with a status other than 2xx. Only its two kinds are raised."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(status, what)
        self.status = status
        self.what = what

    def __str__(self) -> str:
        return f"the service answered {self.status} for {self.what}"


class ServerFailure(UnexpectedStatus):
    """A status that means a failure of the service, or that no other type covers."""


class ObjectRefused(UnexpectedStatus):
    """The service answered 405 or 501 for one object; that does not prove that it lacks the operation."""


class OriginBusy(OriginFault):
    """The service asked to be left alone for longer than the caller can wait."""

    def __init__(self, hold_seconds: float) -> None:
        super().__init__(hold_seconds)
        self.hold_seconds = hold_seconds

    def __str__(self) -> str:
        return f"the service asked for a pause of {self.hold_seconds:.0f} s"


class MalformedAnswer(OriginFault):
    """The answer is not what was asked for: wrong range, wrong type, not parseable, too large, an error page."""


class EmptyBody(MalformedAnswer):
    """The answer has no byte. A recording or media file is empty only where its metadata say so."""


class MuchShorter(MalformedAnswer):
    """A whole answer (200), or a 416 that calls the object empty, has less than half of the known bytes: `total`."""

    def __init__(self, total: int, known_nbytes: int) -> None:
        super().__init__(total, known_nbytes)
        self.total = total
        self.known_nbytes = known_nbytes

    def __str__(self) -> str:
        return f"the answer holds {self.total} bytes of an object that has {self.known_nbytes}"


class TruncatedAnswer(OriginFault):
    """The body ended before the bytes that its head promised, or the connection broke before there was a head."""


class RangeNotSatisfiable(OriginFault):
    """The asked range starts at or beyond the object's end (416); `total` is its size where the answer names it."""

    def __init__(self, total: int | None) -> None:
        super().__init__(total)
        self.total = total

    def __str__(self) -> str:
        return f"the asked range lies beyond the object's end (total {'unknown' if self.total is None else self.total})"


class OperationNotOffered(OriginFault):
    """This origin does not have the operation at all (405, 501, or 404 of a listing)."""


class ActUncertain(OriginFault):
    """An act was sent, at least in part, and it is not known whether it happened. The state must be asked for, and the
    act never sent again. `status` is that of a 5xx, None where no readable answer came."""

    def __init__(self, what: str, why: str, *, status: int | None = None) -> None:
        super().__init__(what, why, status)
        self.what = what
        self.why = why
        self.status = status

    def __str__(self) -> str:
        return f"uncertain whether {self.what} happened: {self.why}"


class ActRefused(OriginFault):
    """The service read the act and refused it; nothing happened."""


class DuplicateMedia(OriginFault):
    """The service has the content of an upload already, as media `media_id`; nothing happened."""

    def __init__(self, media_id: int) -> None:
        super().__init__(media_id)
        self.media_id = media_id

    def __str__(self) -> str:
        return f"the service has this content already, as media {self.media_id}"


class UploadTooLarge(OriginFault):
    """The upload is larger than the service takes (413); nothing happened."""


class RecordingBroken(OriginFault):
    """The service itself reports the recording as broken (state ERROR)."""


class WriteRefused(CffsError):
    """What is being written cannot be accepted; nothing was sent."""


class ContentRefused(WriteRefused):
    """A name, a type or a content that is not accepted, seen before anything was sent."""


class AlreadyExists(WriteRefused):
    """It exists already, or was asked for just now."""


class TooLarge(WriteRefused):
    """More bytes than `--upload-limit` allows."""


class SpoolFull(WriteRefused):
    """The disk of this machine has no room for the file being written."""


class SpoolFailed(WriteRefused):
    """The disk of this machine failed, or the writing program was killed half-way."""


class AlreadySent(WriteRefused):
    """Bytes came after the file was sent."""


class OperationRefused(CffsError):
    """The mount does not do this, whatever the network says."""


class ReadOnlyMount(OperationRefused):
    """Writing on a mount, or in a place, that is read-only."""


class NotSupported(OperationRefused):
    """Something that this file system does not have."""


class NoSuchAttribute(OperationRefused):
    """An extended attribute that the file does not have."""


class NeverAskAgain(OperationRefused):
    """Something that this mount does not have, and that the kernel need not ask for again."""


class NotPermitted(OperationRefused):
    """Something that is never allowed here: links, device nodes."""


class NotAFolder(OperationRefused):
    """A file used as a folder."""


class IsAFolder(OperationRefused):
    """A folder used as a file."""


class FolderNotEmpty(OperationRefused):
    """A folder to be removed that is not empty."""


class Busy(OperationRefused):
    """A file that is being sent cannot be opened, renamed or removed meanwhile."""


class NameTooLong(OperationRefused):
    """A name of more than 255 bytes."""


class StaleHandle(OperationRefused):
    """An inode or handle that this mount does not know (any more)."""


class BadArgument(OperationRefused):
    """An argument that makes no sense for the call."""


class UsageError(CffsError):
    """What the user asked for cannot be done; the message is one line: what happened and what to do."""


#: The errors of one source of an object after which another source may still have it, those that say less first. Where
#: no source has it, a 405 says that it is there all the same, and a 404 that it was looked for.
NOT_FROM_HERE = (OperationNotOffered, RemoteObjectMissing, ObjectRefused)


def weightier(known: CffsError | None, problem: CffsError) -> CffsError:
    """Of two errors of NOT_FROM_HERE the one that says more; the first of two alike."""
    if known is None:
        return problem
    return max(known, problem, key=lambda error: [isinstance(error, kind) for kind in reversed(NOT_FROM_HERE)])
