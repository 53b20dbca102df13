"""What a request is about, told from its path: the object that it asks for, and the operation that it calls; pure.

It must not know requests or answers. Health counts refusals by objects: three forms of one recording are one object.
What is not offered is told by operations: one object that cannot be had in a form says nothing of the others.
"""

import re
from collections.abc import Hashable

from cffs.core.source import Api

#: Paths below the base, percent-encoded, and the object behind them. The first that fits wins.
_OBJECTS = (
    (re.compile(r"files/recording/list/\d+/(\d+)"), r"call \1"),
    (re.compile(r"files/recording/dynamic/(.+?)(?:\.wav|\.mp3)?(?:/mp3)?"), r"dynamic \1"),
    (re.compile(r"files/recording/(\d+)"), r"recording \1"),
    (re.compile(r"calls/recordings/(\d+)(?:\.\w+)?"), r"recording \1"),
    (re.compile(r"calls/broadcasts/(\d+)(?:/.*)?"), r"campaign \1"),
    (re.compile(r"calls/(\d+)(?:/.*)?"), r"call \1"),
    (re.compile(r"media/(\d+)(?:\.\w+|/file)?"), r"media \1"),
    (re.compile(r"media/public/(.+)\.\w+"), r"public \1"),
    # What an account may not see of itself or list is one thing, however many folders ask for it
    (re.compile(r"me(?:/.*)?"), "the account"),
    (re.compile(r"calls|calls/broadcasts|media"), "listings"),
)
#: The variable parts of a path, and what stands for them in the operation's name.
_VARIABLES = (
    (re.compile(r"(?<=files/recording/dynamic/).+?(?=/mp3\Z|\Z)"), "*"),
    (re.compile(r"(?<=/recordings/)(?!\d+(?:\.\w+)?\Z)[^/]+?(?=\.mp3\Z|\Z)"), "*"),
    (re.compile(r"(?<=media/public/)[^/]+(?=\.\w+\Z)"), "*"),
    (re.compile(r"(?<=/)\d+(?=[./]|\Z)"), "#"),
)
#: So many objects that an operation denied itself for, and none that it answered for, prove that it is not offered.
_PROOFS = 2


def object_of(path: str) -> str:
    """The object that the path names; the path itself where it is none of a known kind."""
    for pattern, name in _OBJECTS:
        if (found := pattern.fullmatch(path)) is not None:
            return found.expand(name)
    return path


def operation_of(path: str) -> str:
    """The path with a placeholder for each id and name."""
    for pattern, placeholder in _VARIABLES:
        path = pattern.sub(placeholder, path, count=0 if placeholder == "#" else 1)
    return path


class OperationsAsked:
    """Which operations on single objects have answered, and which only ever said that they are not there."""

    def __init__(self) -> None:
        self._answered: set[Hashable] = set()
        self._denied: dict[Hashable, set[str]] = {}

    def answered(self, api: Api, path: str) -> None:
        """The operation gave an object, or refused it for a reason of the object's own."""
        operation = (api, operation_of(path))
        self._answered.add(operation)
        self._denied.pop(operation, None)

    def denied(self, api: Api, path: str) -> bool:
        """The operation answered 405 or 501: whether that proves by now that it is not offered."""
        operation = (api, operation_of(path))
        if operation in self._answered:
            return False
        objects = self._denied.setdefault(operation, set())
        if len(objects) < _PROOFS:
            objects.add(object_of(path))
        return len(objects) >= _PROOFS
