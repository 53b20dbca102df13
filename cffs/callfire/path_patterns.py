"""Patterns of paths: the object and the operation that a request is about; pure.

It owns the patterns of the service's paths. It must not know requests or answers. Refusals are counted by object: three
forms of one recording are one object. What a service does not offer is counted by operation.
"""

import re

#: Paths below the base, percent-encoded, and the object that each names. The first that fits wins.
_OBJECTS = (
    (re.compile(r"files/recording/list/\d+/(\d+)"), r"call \1"),
    (re.compile(r"files/recording/dynamic/(.+?)(?:\.wav|\.mp3)?(?:/mp3)?"), r"dynamic \1"),
    (re.compile(r"files/recording/(\d+)"), r"recording \1"),
    (re.compile(r"calls/recordings/(\d+)(?:\.\w+)?"), r"recording \1"),
    (re.compile(r"calls/broadcasts/(\d+)(?:/.*)?"), r"campaign \1"),
    (re.compile(r"calls/(\d+)(?:/.*)?"), r"call \1"),
    (re.compile(r"media/(\d+)(?:\.\w+|/file)?"), r"media \1"),
    (re.compile(r"media/public/(.+)\.\w+"), r"public \1"),
    # The account's own data and its listings count as one object each, however many folders ask for them.
    (re.compile(r"me(?:/.*)?"), "the account"),
    (re.compile(r"calls|calls/broadcasts|media"), "listings"),
)
#: The variable parts of a path, and the placeholder for each in the operation's name.
_VARIABLES = (
    (re.compile(r"(?<=files/recording/dynamic/).+?(?=/mp3\Z|\Z)"), "*"),
    (re.compile(r"(?<=/recordings/)(?!\d+(?:\.\w+)?\Z)[^/]+?(?=\.mp3\Z|\Z)"), "*"),
    (re.compile(r"(?<=media/public/)[^/]+(?=\.\w+\Z)"), "*"),
    (re.compile(r"(?<=/)\d+(?=[./]|\Z)"), "#"),
)


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
