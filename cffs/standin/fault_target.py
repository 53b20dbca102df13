"""The target of a fault: a request, its honest reply, and the rule's options.

It owns that value only. It must not know the faults.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cffs.standin.answers import Request, Site
from cffs.standin.exchange import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTarget:
    """A request and its reply, which a fault may change."""

    site: Site
    request: Request
    reply: Reply
    options: Mapping[str, Any]

    def option(self, name: str, otherwise: Any) -> Any:
        """The value of the rule's option, or `otherwise`."""
        return self.options.get(name, otherwise)

    @property
    def nbytes(self) -> int:
        """The length of the honest body."""
        return self.reply.stop - self.reply.start
