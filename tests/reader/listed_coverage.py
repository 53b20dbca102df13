"""What of a file is held or on its way, by plain lists: a coverage for tests."""

from dataclasses import dataclass, field

from cffs.core.byte_range import ByteRange
from cffs.reader.coverage import Coming
from cffs.reader.read_ahead_policy import Plan

MIB = 1024 * 1024


@dataclass
class Covered:
    """Coverage by plain lists: what is held, and what is on its way."""

    ranges: list[ByteRange] = field(default_factory=list)
    on_its_way: list[Coming] = field(default_factory=list)

    def runs(self) -> list[ByteRange]:
        return [ByteRange(run.position, run.stop) for run in self.on_its_way]

    def cut(self, offset: int, *, within: ByteRange) -> ByteRange:
        """Cut as the plan says; return what is cut off. Asserts that it can be cut, is not near, and is not in the
        middle of what the READ needs."""
        [run] = [run for run in self.on_its_way if run.position <= offset < run.stop]
        assert offset >= run.fixed_stop
        assert offset - run.position >= MIB
        assert offset <= self.first_absent(within).start
        self.on_its_way[self.on_its_way.index(run)] = run._replace(stop=offset)
        return ByteRange(offset, run.stop)

    def first_absent(self, within: ByteRange) -> ByteRange | None:
        return next(iter(within.minus(self.ranges)), None)

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        return next(iter(within.minus([*self.ranges, *self.runs()])), None)

    def coming(self, offset: int) -> Coming | None:
        return next((run for run in self.on_its_way if run.position <= offset < run.stop), None)


def asked(planned: Plan) -> list[tuple[int, int]]:
    return [(fetch.wanted.start, fetch.wanted.stop) for fetch in planned.fetches]
