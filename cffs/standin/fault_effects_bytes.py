"""Faults of the bytes: cut, stalled, shifted, longer, unframed, or never sent.

It owns changes of the bytes on the wire, not only of a header. It must not know which requests are hit (`faults` does),
nor how bytes are sent (`wire` does).
"""

from collections.abc import Callable
from typing import Final

from cffs.standin.audio import StoredContent
from cffs.standin.exchange import Reply
from cffs.standin.fault_target import FaultTarget

SHIFT_NBYTES: Final = 1
LONGER_NBYTES: Final = 4096


def _reset_before(target: FaultTarget) -> None:
    target.reply.before = "reset"


def _cut(target: FaultTarget, how: str) -> None:
    """Options: at (byte of the body; half of it), seconds (of a stall; until the client leaves)."""
    reply = target.reply
    reply.cut, reply.cut_at = how, int(target.option("at", target.nbytes // 2))
    reply.stall_seconds = target.option("seconds", None)


def _trunc_nolen(target: FaultTarget) -> None:
    target.reply.framing = "close"
    _cut(target, "close")


def _trunc_chunk(target: FaultTarget) -> None:
    target.reply.framing = "chunked"
    _cut(target, "close")


def _stall_head(target: FaultTarget) -> None:
    target.reply.before = "stall_head"
    target.reply.stall_seconds = target.option("seconds", None)


def _hang(target: FaultTarget) -> None:
    target.reply.before = "hang"
    target.reply.stall_seconds = target.option("seconds", None)


def _drip(target: FaultTarget) -> None:
    """Options: nbytes (1) sent every seconds (0.1)."""
    target.reply.drip_nbytes = int(target.option("nbytes", 1))
    target.reply.drip_seconds = float(target.option("seconds", 0.1))


def _drip_head(target: FaultTarget) -> None:
    """Option: seconds (0.2) between two bytes of the head, too short for an idle limit to notice."""
    target.reply.before = "drip_head"
    target.reply.drip_seconds = float(target.option("seconds", 0.2))


def _interim(target: FaultTarget) -> None:
    """Option: seconds (0.05) between two interim answers; a final one never comes."""
    target.reply.before = "interim"
    target.reply.drip_seconds = float(target.option("seconds", 0.05))


def _slow(target: FaultTarget) -> None:
    """Option: seconds (1) before the first byte."""
    target.reply.delay_seconds = float(target.option("seconds", 1.0))


def _whole(reply: Reply) -> None:
    if reply.download is not None:
        reply.status, reply.source = 200, reply.download.content
        reply.start, reply.stop = 0, reply.download.total_nbytes
        reply.set_header("Content-Range", None)


def _full200(target: FaultTarget) -> None:
    _whole(target.reply)
    target.reply.set_header("Accept-Ranges", None)


def _nolen(target: FaultTarget) -> None:
    _full200(target)
    target.reply.framing = "chunked"


def _content_range(reply: Reply, start: int, stop: int) -> None:
    total = reply.download.total_nbytes if reply.download else stop
    reply.set_header("Content-Range", f"bytes {start}-{stop - 1}/{total}")


def _moved(target: FaultTarget, by_nbytes: int) -> None:
    """As many bytes from another place: later ones, or earlier ones where there are no later ones."""
    reply = target.reply
    total = reply.source.total_nbytes
    nbytes = target.nbytes
    if reply.stop + by_nbytes <= total:
        reply.start += by_nbytes
    elif reply.start >= by_nbytes:
        reply.start -= by_nbytes
    else:
        # The whole body: there is no other place, so its bytes are rotated.
        body = reply.body()
        reply.source, reply.start = StoredContent(body[by_nbytes:] + body[:by_nbytes]), 0
    reply.stop = reply.start + nbytes


def _cr_wrong(target: FaultTarget) -> None:
    """Content-Range has another start, and the bytes are from there. Option: by (4096, or as many as there are)."""
    reply = target.reply
    if reply.status == 206:
        room = max(reply.source.total_nbytes - reply.stop, reply.start)
        if room:
            _moved(target, min(int(target.option("by", LONGER_NBYTES)), room))
        else:  # the whole object: rotated bytes under the right head would be a fault that no client can notice
            reply.start = min(SHIFT_NBYTES, reply.stop)
        _content_range(reply, reply.start, reply.stop)


def _shift(target: FaultTarget) -> None:
    """The headers are right, the bytes are wrong. Option: by (1)."""
    if target.nbytes:
        _moved(target, int(target.option("by", SHIFT_NBYTES)))


def _cr_missing(target: FaultTarget) -> None:
    target.reply.set_header("Content-Range", None)


def _long206(target: FaultTarget) -> None:
    """More bytes than asked for; Content-Length and Content-Range agree with them."""
    reply = target.reply
    if reply.status != 206:
        return
    start, stop = reply.start, reply.stop + int(target.option("nbytes", LONGER_NBYTES))
    _content_range(reply, start, stop)
    if stop <= reply.source.total_nbytes:
        reply.stop = stop
    else:
        # The object ends here, so the bytes after it are made up: this fault must never give the right answer by
        # chance.
        body = reply.body()
        filler = b"\xaa" * (stop - start - len(body))
        reply.source, reply.start, reply.stop = StoredContent(body + filler), 0, len(body) + len(filler)


def _short_by_one(target: FaultTarget) -> None:
    """One byte less than asked for; all headers agree with the bytes."""
    reply = target.reply
    if target.nbytes > 1:
        reply.stop -= 1
        if reply.status == 206:
            _content_range(reply, reply.start, reply.stop)


def _total_wrong(target: FaultTarget) -> None:
    """The range is right, its total is wrong. Option: total (one more than there are, or `*`)."""
    reply = target.reply
    if reply.status == 206 and reply.download is not None:
        total = target.option("total", reply.download.total_nbytes + 1)
        reply.set_header("Content-Range", f"bytes {reply.start}-{reply.stop - 1}/{total}")


def _close(target: FaultTarget) -> None:
    target.reply.close_after = True


FAULTS: Final[dict[str, Callable[[FaultTarget], None]]] = {
    "reset_before": _reset_before,
    "reset": lambda target: _cut(target, "reset"),
    "trunc": lambda target: _cut(target, "close"),
    "trunc_nolen": _trunc_nolen,
    "trunc_chunk": _trunc_chunk,
    "stall": lambda target: _cut(target, "stall"),
    "stall_head": _stall_head,
    "hang": _hang,
    "drip": _drip,
    "drip_head": _drip_head,
    "interim": _interim,
    "slow": _slow,
    "full200": _full200,
    "nolen": _nolen,
    "cr_wrong": _cr_wrong,
    "cr_missing": _cr_missing,
    "total_wrong": _total_wrong,
    "long206": _long206,
    "short_by_one": _short_by_one,
    "shift": _shift,
    "close": _close,
}
"""By their names in tests, in the request log and on the command line."""
