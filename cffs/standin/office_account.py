"""The account of `cffs standin` and the demo: an office's calls of the last weeks.

The account is a function of the seed, the number of calls and today: ids, names and sounds do not change from day to
day, and the calls of "last Tuesday" move with today. The accounts of tests (`generated_rows` alone) are hostile
instead: equal, empty and odd names, all on one fixed day.

It owns the names, numbers, days and durations of that account. It must not know HTTP, nor the clock: today is passed
in.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from cffs.standin.account import Account
from cffs.standin.generated_rows import CAMPAIGN_BASE, OWN_NUMBERS, Row, Shape, mixed

CAMPAIGNS: Final = (
    "Winback",
    "Spring renewal reminders",
    "Customer survey",
    "Appointment reminders",
    "Late invoices",
    "Welcome calls",
)
LABELS: Final = ("follow up", "complaint", "new customer", "VIP", "callback")
PARTIES: Final = (
    "14155035894",
    "12125550147",
    "13105550162",
    "16175550119",
    "17735550184",
    "12065550133",
    "15125550171",
    "13035550108",
    "14045550126",
    "16025550195",
    "18585550152",
    "19165550137",
)
MEDIA: Final = (
    "Floor plan",
    "Animated banner",
    "Team photo",
    "On hold music",
    "Welcome greeting",
    "Office tour",
    "Logo",
    "Menu prompt",
)
"""A name for each type of media, in the order of `media_files.EXTENSIONS`."""

WEEKDAYS: Final = 20
"""Four weeks of working days, over which an account of more than a few calls is spread."""
LEAST_A_DAY: Final = 3
OPENS, OPEN_SECONDS = time(9, 0), 9 * 3600
VOICEMAIL_EVERY: Final = 9
LONGEST_SECONDS: Final = 180
SHORTEST_SECONDS: Final = 8

FOUND_PARTY: Final = PARTIES[0]
FOUND_SECONDS: Final = 30
FOUND_CAMPAIGN: Final = 0
"""The one call that the documents search for: with 14155035894, last Tuesday, half a minute long, in Winback."""
_TUESDAY: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeShape(Shape):
    """The shape of that account. `found_index` is the call that the examples search for."""

    today: date
    found_index: int

    def created_ms(self, index: int) -> int:
        """A time in office hours of this machine's zone; strictly descending with the index."""
        a_day = calls_a_day(self.calls)
        back, slot = divmod(index, a_day)
        slot_ms = OPEN_SECONDS * 1000 // a_day
        later_ms = (a_day - slot) * slot_ms - 1 - mixed(self.seed, index, 3) % max(1, slot_ms - 1)
        return _opened_ms(self.today, back) + later_ms

    def duration_seconds(self, index: int, position: int) -> int:
        """8 seconds to 3 minutes, short ones more often."""
        if index == self.found_index and position == 0:
            return FOUND_SECONDS
        share = (mixed(self.seed, index, 4, position) % 1000 / 1000) ** 2
        seconds = SHORTEST_SECONDS + round(share * (LONGEST_SECONDS - SHORTEST_SECONDS))
        return seconds + 1 if seconds == FOUND_SECONDS else seconds  # only one call lasts half a minute

    def inbound(self, index: int) -> bool:
        """True for half of the calls."""
        return index == self.found_index or mixed(self.seed, index, 5) % 2 == 0

    def numbers(self, index: int) -> tuple[str, str]:
        """The numbers (from, to): one of the office's, and one of a dozen parties who call again."""
        own = OWN_NUMBERS[mixed(self.seed, index, 6) % len(OWN_NUMBERS)]
        other = FOUND_PARTY if index == self.found_index else PARTIES[mixed(self.seed, index, 7) % len(PARTIES)]
        return (other, own) if self.inbound(index) else (own, other)

    def labels(self, index: int) -> list[str]:
        """No label or one."""
        first = mixed(self.seed, index, 9) % (2 * len(LABELS))
        return [LABELS[first]] if first < len(LABELS) else []

    def campaign_of(self, index: int) -> int:
        """As in every account, except for the one call that the examples search for."""
        if index == self.found_index and self.campaigns:
            return self.campaign_ids()[-1 - FOUND_CAMPAIGN]
        return Shape.campaign_of(self, index)

    def recording_name(self, index: int, position: int) -> str:
        """Nearly always the service's name for a recording without one."""
        name = "call_recording"
        if index != self.found_index and mixed(self.seed, index, 12) % VOICEMAIL_EVERY == 0:
            name = "voicemail"
        return f"{name} {position + 1}" if position else name

    def campaign_row(self, campaign_id: int) -> Row:
        """A broadcast with a name that says its purpose."""
        n = (campaign_id - CAMPAIGN_BASE - (self.seed % 1000) * 10_000) // 1000
        row = Shape.campaign_row(self, campaign_id)
        name = CAMPAIGNS[n % len(CAMPAIGNS)] + (f" ({n})" if n >= len(CAMPAIGNS) else "")
        return {**row, "name": name, "labels": [LABELS[n % len(LABELS)]] if row["labels"] else []}


def office_account(*, seed: int, calls: int, today: date) -> Account:
    """The account of `cffs standin` on that day."""
    shape = OfficeShape(
        seed=seed,
        calls=calls,
        campaigns=len(CAMPAIGNS),
        newest_ms=_local_ms(today, time()),
        today=today,
        found_index=_found_index(today, calls),
    )
    return Account(shape=shape, media=len(MEDIA), other_media=0, media_names=MEDIA)


def calls_a_day(calls: int) -> int:
    """The number of calls of each working day."""
    return max(LEAST_A_DAY, -(-calls // WEEKDAYS))


def working_day(today: date, back: int) -> date:
    """The working day that lies `back` working days before the last one that is over."""
    weeks, rest = divmod(back, 5)
    last = today - timedelta(days=1)
    last -= timedelta(days=max(0, last.weekday() - 4))
    # A weekend lies between, where more days are wanted than the week has had.
    return last - timedelta(days=7 * weeks + rest + (2 if rest > last.weekday() else 0))


def _found_index(today: date, calls: int) -> int:
    """The second call of last Tuesday; the oldest call where there are too few to reach back to it."""
    back = next(back for back in range(5) if working_day(today, back).weekday() == _TUESDAY)
    return min(back * calls_a_day(calls) + 1, calls - 1)


@lru_cache(maxsize=64)
def _opened_ms(today: date, back: int) -> int:
    return _local_ms(working_day(today, back), OPENS)


def _local_ms(day: date, at: time) -> int:
    return round(datetime.combine(day, at).astimezone().timestamp() * 1000)
