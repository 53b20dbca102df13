"""Faults of the bytes themselves: cut, stalled, shifted, longer, unframed, or never sent.

This module owns that something is really wrong on the wire, not only in a header.
It must not know which requests are hit (that is `faults`) nor how bytes are sent (that is `wire`).
`faults` calls the table.
"""

from collections.abc import Callable
from typing import Final

from cffs.standin.audio import StoredContent
from cffs.standin.exchange import Reply
from cffs.standin.fault_target import FaultTarget

SHIFT_NBYTES: Final = 1
LONGER_NBYTES: Final = 4096


def _reset_before(bending: FaultTarget) -> None:
    bending.reply.before = "reset"


def _cut(bending: FaultTarget, how: str) -> None:
    """Options: at (byte of the body; half of it), seconds (of a stall; until the client goes)."""
    reply = bending.reply
    reply.cut, reply.cut_at = how, int(bending.option("at", bending.nbytes // 2))
    reply.stall_seconds = bending.option("seconds", None)


def _trunc_nolen(bending: FaultTarget) -> None:
    bending.reply.framing = "close"
    _cut(bending, "close")


def _trunc_chunk(bending: FaultTarget) -> None:
    bending.reply.framing = "chunked"
    _cut(bending, "close")


def _stall_head(bending: FaultTarget) -> None:
    bending.reply.before = "stall_head"
    bending.reply.stall_seconds = bending.option("seconds", None)


def _hang(bending: FaultTarget) -> None:
    bending.reply.before = "hang"
    bending.reply.stall_seconds = bending.option("seconds", None)


def _drip(bending: FaultTarget) -> None:
    """Options: nbytes (1) every seconds (0.1)."""
    bending.reply.drip_nbytes = int(bending.option("nbytes", 1))
    bending.reply.drip_seconds = float(bending.option("seconds", 0.1))


def _drip_head(bending: FaultTarget) -> None:
    """Option: seconds (0.2) between two bytes of the head: no pause that an idle limit would notice."""
    bending.reply.before = "drip_head"
    bending.reply.drip_seconds = float(bending.option("seconds", 0.2))


def _interim(bending: FaultTarget) -> None:
    """Option: seconds (0.05) between two interim answers; there is never a final one."""
    bending.reply.before = "interim"
    bending.reply.drip_seconds = float(bending.option("seconds", 0.05))


def _slow(bending: FaultTarget) -> None:
    """Options: seconds (1) before the first byte."""
    bending.reply.delay_seconds = float(bending.option("seconds", 1.0))


def _whole(reply: Reply) -> None:
    if reply.download is not None:
        reply.status, reply.source = 200, reply.download.content
        reply.start, reply.stop = 0, reply.download.total_nbytes
        reply.set_header("Content-Range", None)


def _full200(bending: FaultTarget) -> None:
    _whole(bending.reply)
    bending.reply.set_header("Accept-Ranges", None)


def _nolen(bending: FaultTarget) -> None:
    _full200(bending)
    bending.reply.framing = "chunked"


def _content_range(reply: Reply, start: int, stop: int) -> None:
    total = reply.download.total_nbytes if reply.download else stop
    reply.set_header("Content-Range", f"bytes {start}-{stop - 1}/{total}")


def _moved(bending: FaultTarget, by_nbytes: int) -> None:
    """As many bytes as before, from another place: later, or earlier where there is no later."""
    reply = bending.reply
    total = reply.source.total_nbytes
    nbytes = bending.nbytes
    if reply.stop + by_nbytes <= total:
        reply.start += by_nbytes
    elif reply.start >= by_nbytes:
        reply.start -= by_nbytes
    else:
        # The whole body: there is no other place, so its bytes go round.
        body = reply.body()
        reply.source, reply.start = StoredContent(body[by_nbytes:] + body[:by_nbytes]), 0
    reply.stop = reply.start + nbytes


def _cr_wrong(bending: FaultTarget) -> None:
    """Option: by (4096 or what there is): Content-Range tells another start, and the bytes are from there."""
    reply = bending.reply
    if reply.status == 206:
        room = max(reply.source.total_nbytes - reply.stop, reply.start)
        _moved(bending, min(int(bending.option("by", LONGER_NBYTES)), room) or SHIFT_NBYTES)
        _content_range(reply, reply.start, reply.stop)


def _shift(bending: FaultTarget) -> None:
    """Option: by (1): the headers are right, the bytes are others."""
    if bending.nbytes:
        _moved(bending, int(bending.option("by", SHIFT_NBYTES)))


def _cr_missing(bending: FaultTarget) -> None:
    bending.reply.set_header("Content-Range", None)


def _long206(bending: FaultTarget) -> None:
    """More than was asked for, Content-Length and Content-Range agreeing with the bytes."""
    reply = bending.reply
    if reply.status != 206:
        return
    start, stop = reply.start, reply.stop + int(bending.option("nbytes", LONGER_NBYTES))
    _content_range(reply, start, stop)
    if stop <= reply.source.total_nbytes:
        reply.stop = stop
    else:
        # The object ends here, so what follows it is made up: this fault is never by chance the right answer.
        body = reply.body()
        filler = b"\xaa" * (stop - start - len(body))
        reply.source, reply.start, reply.stop = StoredContent(body + filler), 0, len(body) + len(filler)


def _short_by_one(bending: FaultTarget) -> None:
    """One byte fewer than asked for, all headers agreeing with the bytes."""
    reply = bending.reply
    if bending.nbytes > 1:
        reply.stop -= 1
        if reply.status == 206:
            _content_range(reply, reply.start, reply.stop)


def _total_wrong(bending: FaultTarget) -> None:
    """Option: total (one more than there are, or `*`): the range is right, its total is not."""
    reply = bending.reply
    if reply.status == 206 and reply.download is not None:
        total = bending.option("total", reply.download.total_nbytes + 1)
        reply.set_header("Content-Range", f"bytes {reply.start}-{reply.stop - 1}/{total}")


def _close(bending: FaultTarget) -> None:
    bending.reply.close_after = True


FAULTS: Final[dict[str, Callable[[FaultTarget], None]]] = {
    "reset_before": _reset_before,
    "reset": lambda bending: _cut(bending, "reset"),
    "trunc": lambda bending: _cut(bending, "close"),
    "trunc_nolen": _trunc_nolen,
    "trunc_chunk": _trunc_chunk,
    "stall": lambda bending: _cut(bending, "stall"),
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
"""By the name that tests, the request log and the command line use."""
