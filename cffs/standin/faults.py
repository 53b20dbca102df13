"""Misbehaviour by name: which requests it hits, and how it bends an honest reply.

This module owns the rules that are in force and their counting; the bending itself is in `mischief_*`.
It must not know sockets: every fault is a change to a `RequestReceiver`, by which the request is received, or to a
`Reply`,
which `wire` then sends as told.
Tests and `--fault` options add rules from any thread; `server` asks once per request for each of the two.
"""

import random
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cffs.standin import fault_effects_answers, fault_effects_bytes, fault_effects_requests
from cffs.standin.answers import Request, Site
from cffs.standin.exchange import Reply
from cffs.standin.fault_target import FaultTarget
from cffs.standin.request_receiver import RequestReceiver

FAULTS: Final = {**fault_effects_answers.FAULTS, **fault_effects_bytes.FAULTS}
REQUEST_FAULTS: Final = fault_effects_requests.FAULTS
NAMES: Final = tuple(sorted({**FAULTS, **REQUEST_FAULTS}))
"""Every fault there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One misbehaviour and the requests it hits; a condition that is None always holds."""

    fault: str
    path: str | None = None
    """A regular expression searched for in the path."""
    kind: str | None = None
    """An operationId, or several joined by `|`."""
    method: str | None = None
    ranged: bool | None = None
    """True for requests with a Range header only, False for those without."""
    min_offset: int | None = None
    """Ranged requests that start at this byte or later."""
    after: int = 0
    """How many matching requests are left alone first."""
    times: int | None = None
    """How many requests it hits in all."""
    probability: float = 1.0
    """Of each matching request, drawn from the seed given to `Faults`."""
    options: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def matches(self, request: Request, kind: str) -> bool:
        """Whether the request is one of those, counts aside."""
        told = request.headers.get("range")
        if self.min_offset is not None:
            match = re.match(r"bytes=([0-9]+)-", told or "")
            if match is None or int(match[1]) < self.min_offset:
                return False
        return (
            (self.path is None or re.search(self.path, request.path) is not None)
            and (self.kind is None or kind in self.kind.split("|"))
            and (self.method is None or request.method == self.method)
            and (self.ranged is None or (told is not None) is self.ranged)
        )


class Faults:
    """The rules in force. Thread-safe; several may hit one request, in the order they were added."""

    def __init__(self, *, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # nosec B311  # noqa: S311 - a repeatable schedule, no secret
        self._rules: dict[int, FaultRule] = {}
        self._seen: dict[int, int] = {}
        self._fired: dict[int, int] = {}
        self._next = 1

    def add(
        self,
        fault: str,
        *,
        path: str | None = None,
        kind: str | None = None,
        method: str | None = None,
        ranged: bool | None = None,
        min_offset: int | None = None,
        after: int = 0,
        times: int | None = None,
        probability: float = 1.0,
        **options: Any,
    ) -> int:
        """A rule in force from the next request on; its number. Raises KeyError for a fault that does not exist."""
        if fault not in NAMES:
            raise KeyError(f"no fault named {fault}; there are: {', '.join(NAMES)}")
        rule = FaultRule(
            fault=fault,
            path=path,
            kind=kind,
            method=method,
            ranged=ranged,
            min_offset=min_offset,
            after=after,
            times=times,
            probability=probability,
            options=MappingProxyType(dict(options)),
        )
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._rules[number] = rule
            self._seen[number] = self._fired[number] = 0
        return number

    def remove(self, number: int) -> None:
        """That rule ends; nothing happens when it has."""
        with self._lock:
            self._rules.pop(number, None)

    def clear(self) -> None:
        """From the next request on everything is honest."""
        with self._lock:
            self._rules.clear()

    def fired(self, number: int) -> int:
        """How often a rule has hit."""
        with self._lock:
            return self._fired.get(number, 0)

    def meet(self, request: Request, kind: str, reception: RequestReceiver) -> list[str]:
        """Applies every rule about requests that hits one of which only the head is here; the names of those."""
        hits = self._hitting(REQUEST_FAULTS, request, kind)
        for rule in hits:
            REQUEST_FAULTS[rule.fault](request, reception, rule.options)
        return [rule.fault for rule in hits]

    def bend(self, site: Site, request: Request, reply: Reply) -> list[str]:
        """Applies every rule about answers that hits; the names of those."""
        hits = self._hitting(FAULTS, request, reply.kind)
        for rule in hits:
            FAULTS[rule.fault](FaultTarget(site=site, request=request, reply=reply, options=rule.options))
        return [rule.fault for rule in hits]

    def _hitting(self, faults: Collection[str], request: Request, kind: str) -> list[FaultRule]:
        with self._lock:
            return [
                rule
                for number, rule in self._rules.items()
                if rule.fault in faults and self._hits(number, rule, request, kind)
            ]

    def _hits(self, number: int, rule: FaultRule, request: Request, kind: str) -> bool:
        if not rule.matches(request, kind):
            return False
        self._seen[number] += 1
        if self._seen[number] <= rule.after or (rule.times is not None and self._fired[number] >= rule.times):
            return False
        if rule.probability < 1 and self._random.random() >= rule.probability:
            return False
        self._fired[number] += 1
        return True
