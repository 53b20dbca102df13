"""Fault injection: rules that say which requests a named fault hits.

A fault changes either the RequestReceiver, by which a request is received, or the Reply, which `wire` then sends. The
effects are in `fault_effects_*`. This module owns the rules in force and their counts; they may be added from any
thread. It must not know sockets.
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
"""Every fault that exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """A fault and the requests that it hits; a condition that is None always holds."""

    fault: str
    path: str | None = None
    """A regular expression searched for in the path."""
    kind: str | None = None
    """An operationId, or several joined by `|`."""
    method: str | None = None
    ranged: bool | None = None
    """True for only requests with a Range header, False for only those without."""
    min_offset: int | None = None
    """Only ranged requests that start at this byte or later."""
    after: int = 0
    """The number of matching requests that are left alone first."""
    times: int | None = None
    """The number of requests that it hits in all."""
    probability: float = 1.0
    """For each matching request, drawn from the seed of `Faults`."""
    options: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def matches(self, request: Request, kind: str) -> bool:
        """Whether the request meets the conditions, without regard to counts."""
        range_header = request.headers.get("range")
        if self.min_offset is not None:
            match = re.match(r"bytes=([0-9]+)-", range_header or "")
            if match is None or int(match[1]) < self.min_offset:
                return False
        return (
            (self.path is None or re.search(self.path, request.path) is not None)
            and (self.kind is None or kind in self.kind.split("|"))
            and (self.method is None or request.method == self.method)
            and (self.ranged is None or (range_header is not None) is self.ranged)
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
        """Add a rule, in force from the next request on; returns its number. Raises KeyError for an unknown fault."""
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
        """End that rule; nothing where it has ended."""
        with self._lock:
            self._rules.pop(number, None)

    def clear(self) -> None:
        """End all rules: from the next request on every reply is honest."""
        with self._lock:
            self._rules.clear()

    def fired(self, number: int) -> int:
        """The number of requests that a rule has hit."""
        with self._lock:
            return self._fired.get(number, 0)

    def apply_to_request(self, request: Request, kind: str, receiver: RequestReceiver) -> list[str]:
        """Apply every rule about requests that hits this one, of which only the head has arrived; returns their
        names."""
        hits = self._hitting(REQUEST_FAULTS, request, kind)
        for rule in hits:
            REQUEST_FAULTS[rule.fault](request, receiver, rule.options)
        return [rule.fault for rule in hits]

    def apply_to_reply(self, site: Site, request: Request, reply: Reply) -> list[str]:
        """Apply every rule about answers that hits this one; returns their names."""
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
