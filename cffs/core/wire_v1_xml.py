"""The XML of API v1 as a flat list of (tag, text): bounded while it is read, nothing but elements and text.

It must not know what the tags mean. Only `core/wire_v1` calls it.
"""

from xml.etree.ElementTree import ParseError  # nosec B405  # the exception's name only; defusedxml parses

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import XMLParser

from cffs.core.errors import MalformedAnswer

#: The document is two levels deep; a wrapper more would be tolerated.
_MAX_DEPTH = 8
#: A call has a handful of recordings; this is far above any, far below what costs memory.
_MAX_ELEMENTS = 100_000


class _FlatTarget:
    """What the parser tells its findings to: the root's tag and its children's texts, no tree. Owned by one parse."""

    def __init__(self, what: str) -> None:
        self.root = ""
        self.children: list[tuple[str, str]] = []
        self._what = what
        self._depth = 0
        self._elements = 0
        self._text: list[str] = []

    def start(self, tag: str, attributes: dict[str, str], /) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise MalformedAnswer(f"{self._what}: XML too deep or too large")
        if self._depth == 1:
            self.root = _local_name(tag)
        elif self._depth == 2:
            self._text.clear()

    def data(self, text: str, /) -> None:
        # Text inside a child's own elements counts as the child's.
        if self._depth >= 2:
            self._text.append(text)

    def end(self, tag: str, /) -> None:
        if self._depth == 2:
            self.children.append((_local_name(tag), "".join(self._text).strip()))
        self._depth -= 1

    def close(self) -> None:
        """Part of the parser's protocol; the findings are read from the fields."""


def _local_name(tag: str) -> str:
    """`{namespace}Tag` as `tag`: tags are not spelt alike across v1, and its namespace is not documented."""
    return tag.rpartition("}")[2].lower()


def flat_children(body: bytes, *, what: str) -> tuple[str, list[tuple[str, str]]]:
    """The root's tag and the (tag, text) of its children in order, tags in lower case without namespace.

    The bytes are taken as UTF-8 whatever the declaration says (the document's own example declares UTF-8), so that no
    encoding can hide markup. Raises MalformedAnswer for a DTD, an entity, an external reference, depth, size, and
    everything that is not well-formed UTF-8 XML.
    """
    if b"\0" in body:
        # expat takes `<` NUL for UTF-16 even where it is told an encoding
        raise MalformedAnswer(f"{what}: not XML in UTF-8")
    target = _FlatTarget(what)
    parser = XMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    try:
        parser.feed(body)
        parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as exc:
        raise MalformedAnswer(f"{what}: not plain XML ({type(exc).__name__})") from exc
    return target.root, target.children
