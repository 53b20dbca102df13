"""The filter of `/calls`, and the generated calls that meet it.

It owns the conditions, and the arithmetic that avoids a scan where it can. It must not know changes made by tests, nor
HTTP.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cffs.standin.generated_rows import Row, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Conditions on calls; None is no condition. Intervals compare `created`, with both ends included."""

    campaign_id: int | None = None
    ids: tuple[int, ...] | None = None
    from_number: str | None = None
    to_number: str | None = None
    label: str | None = None
    states: tuple[str, ...] | None = None
    results: tuple[str, ...] | None = None
    inbound: bool | None = None
    interval_begin_ms: int | None = None
    interval_end_ms: int | None = None

    def accepts(self, row: Row) -> bool:
        """Whether a row meets every condition except the ids."""
        created = row.get("created")
        created = created if isinstance(created, int) else 0
        labels = row.get("labels")
        return (
            (self.campaign_id is None or row.get("campaignId", 0) == self.campaign_id)
            and (self.from_number is None or row.get("fromNumber") == self.from_number)
            and (self.to_number is None or row.get("toNumber") == self.to_number)
            and (self.label is None or (isinstance(labels, list) and self.label in labels))
            and (self.states is None or row.get("state") in self.states)
            and (self.results is None or row.get("finalCallResult") in self.results)
            and (self.inbound is None or row.get("inbound") is self.inbound)
            and (self.interval_begin_ms is None or created >= self.interval_begin_ms)
            and (self.interval_end_ms is None or created <= self.interval_end_ms)
        )


def generated_indexes(shape: Shape, wanted: CallFilter) -> Sequence[int]:
    """The indexes of the generated calls that meet the filter (but for ids), newest first; an interval alone needs no
    scan."""
    newest_first = range(shape.calls)
    # created_ms descends with the index, so an interval is a slice.
    start, stop = 0, shape.calls
    if wanted.interval_end_ms is not None:
        start = bisect_left(newest_first, -wanted.interval_end_ms, key=lambda index: -shape.created_ms(index))
    if wanted.interval_begin_ms is not None:
        stop = bisect_right(newest_first, -wanted.interval_begin_ms, key=lambda index: -shape.created_ms(index))
    indexes: Sequence[int] = newest_first[start : max(start, stop)]
    # The cheap conditions first: each needs a hash or two, a whole row needs twenty.
    if wanted.campaign_id is not None:
        indexes = [index for index in indexes if shape.campaign_of(index) == wanted.campaign_id]
    if wanted.inbound is not None:
        indexes = [index for index in indexes if shape.inbound(index) is wanted.inbound]
    if wanted.from_number is not None or wanted.to_number is not None:
        asked = (wanted.from_number, wanted.to_number)
        indexes = [
            index
            for index in indexes
            if all(one in (None, other) for one, other in zip(asked, shape.numbers(index), strict=True))
        ]
    if wanted.label is not None:
        indexes = [index for index in indexes if wanted.label in shape.labels(index)]
    rest = replace(wanted, ids=None, interval_begin_ms=None, interval_end_ms=None)
    rest = replace(rest, campaign_id=None, inbound=None, from_number=None, to_number=None, label=None)
    if rest != CallFilter():
        indexes = [index for index in indexes if rest.accepts(shape.call_row(index))]
    return indexes
