"""A mount's status as lines for people.

It owns the units, and leaves out zeros that say nothing. It must not ask anything, and takes nothing for granted: the
daemon may be older or newer than this command.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cffs.cli.messages import one_line

_LAST_ERRORS = 10
#: Keys of `uploads` that hold lists.
_LISTS = ("active", "refusals")
_UNITS = ("B", "K", "M", "G", "T")
_A_MINUTE, _AN_HOUR, _A_DAY = 60, 3600, 86_400


def lines_of(status: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one mount's status."""
    origin, cache, reads = _table(status, "origin"), _table(status, "cache"), _table(status, "reads")
    asked_for = " (asked for)" if status.get("offline_asked_for") is True else ""
    yield f"{one_line(str(status.get('mountpoint', '?')))}  {one_line(str(origin.get('state', '?')))}{asked_for}"
    notes = status.get("notes")
    for note in notes if isinstance(notes, list) else []:
        yield f"    {one_line(str(note))}"
    uptime = status.get("uptime_seconds")
    yield from _row(
        "daemon",
        _named(status, "pid", "version"),
        f"up {duration(uptime)}" if isinstance(uptime, int | float) else "",
        _named(status, "open_files"),
        _named(status, "bugs") if status.get("bugs") else "",
    )
    held = origin.get("held_until")
    yield from _row(
        "origin",
        _named(origin, "v1", "v2", "requests", "retries"),
        f"fetched {size(origin['bytes_fetched'])}" if "bytes_fetched" in origin else "",
        f"held for {held:.0f} s more" if isinstance(held, int | float) and held > 0 else "",
    )
    rate = _table(status, "rate")
    waited = rate.get("waited_seconds")
    yield from _row(
        "rate",
        _named(rate, "limit", "sent", "waiting"),
        f"waited {duration(waited)} in all" if isinstance(waited, int | float) and waited else "",
    )
    yield from _row("shared", _named(_table(status, "shared"), "server", "state", "machines", "rate"))
    yield from _row("reads", _named(reads, "count"), _sizes(reads, "delivered", "bytes_delivered"))
    yield from _row(
        "cache",
        _share(cache, "memory"),
        _share(cache, "disk"),
        _named(cache, "hits_memory", "hits_disk", "misses"),
        _named(cache, "corrupt_blocks") if cache.get("corrupt_blocks") else "",
    )
    prefetch = _table(status, "prefetch")
    yield from _row(
        "prefetch", _named(prefetch, "started"), _sizes(prefetch, "used", "used_bytes"),
        _sizes(prefetch, "wasted", "wasted_bytes"),
    )  # fmt: skip
    catalog, kernel = _table(status, "catalog"), _table(status, "kernel")
    yield from _row("catalog", _named(catalog, *catalog))
    yield from _row("kernel", _named(kernel, *kernel))
    uploads = _table(status, "uploads")
    yield from _row("uploads", _named(uploads, *(name for name in uploads if name not in _LISTS)))
    active = uploads.get("active")
    for one in active if isinstance(active, list) else []:
        if isinstance(one, Mapping):
            far = f"{size(one.get('sent_bytes'))} of {size(one.get('bytes'))}"
            yield f"    {one_line(str(one.get('name')))}  {one_line(str(one.get('state')))}, {far} sent"
    refusals = uploads.get("refusals")
    for one in refusals if isinstance(refusals, list) else []:
        if isinstance(one, Mapping):
            when, name, reason = one.get("time"), one.get("name"), one.get("reason")
            yield f"    {one_line(f'{when} refused {name}: {reason}')}"
    for name, found in _table(origin, "capabilities").items():
        if isinstance(found, Mapping):
            yield from _row(name, _named(found, *(key for key in found if not isinstance(found[key], Mapping))))
            for kind, one in found.items():
                if isinstance(one, Mapping):
                    yield from _row(f"  {kind}", _named(one, *one))
    errors = _table(origin, "errors")
    yield from _row("errors", _named(errors, *errors))
    last = status.get("last_errors")
    for line in (last if isinstance(last, list) else [])[-_LAST_ERRORS:]:
        yield f"    {_error(line)}"


def size(nbytes: object) -> str:
    """A size such as `12.3M`, in the units of --memory-size."""
    if not isinstance(nbytes, int | float) or isinstance(nbytes, bool):
        return "?"
    value, unit = float(nbytes), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f}{_UNITS[unit]}" if value >= 100 or unit == 0 else f"{value:.1f}{_UNITS[unit]}"


def duration(seconds: float) -> str:
    """A duration such as `3 s`, `5 min`, `2 h 10 min` or `4 d 3 h`."""
    whole = int(seconds)
    if whole < _A_MINUTE:
        return f"{whole} s"
    if whole < _AN_HOUR:
        return f"{whole // _A_MINUTE} min"
    if whole < _A_DAY:
        return f"{whole // _AN_HOUR} h {whole % _AN_HOUR // _A_MINUTE} min"
    return f"{whole // _A_DAY} d {whole % _A_DAY // _AN_HOUR} h"


def _error(status: object) -> str:
    return one_line(status if isinstance(status, str) else json.dumps(status))


def _table(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = status.get(name)
    return value if isinstance(value, Mapping) else {}


def _named(table: Mapping[str, Any], *names: str) -> str:
    return ", ".join(f"{name} {table[name]}" for name in names if table.get(name) is not None)


def _sizes(table: Mapping[str, Any], word: str, name: str) -> str:
    return f"{word} {size(table[name])}" if name in table else ""


def _share(cache: Mapping[str, Any], kind: str) -> str:
    used, limit = cache.get(f"{kind}_bytes"), cache.get(f"{kind}_limit_bytes")
    return f"{kind} {size(used)} of {size(limit)}" if limit else ""


def _row(title: str, *parts: str) -> Iterator[str]:
    shown = ", ".join(filter(None, parts))
    if shown:
        yield f"  {title:<9} {one_line(shown)}"
