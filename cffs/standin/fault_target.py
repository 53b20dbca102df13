"""What a fault works on: one request, its honest reply, and the options of the rule that hit it.

This module owns nothing but that value.
It must not know the faults.
`faults` makes it, `mischief_bytes` and `mischief_answers` bend its reply.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cffs.standin.answers import Request, Site
from cffs.standin.exchange import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTarget:
    """What a fault works on."""

    site: Site
    request: Request
    reply: Reply
    options: Mapping[str, Any]

    def option(self, name: str, otherwise: Any) -> Any:
        """The rule's option, or what holds without it."""
        return self.options.get(name, otherwise)

    @property
    def nbytes(self) -> int:
        """How long the honest body is."""
        return self.reply.stop - self.reply.start
