"""Parser that turns API v1's XML into the equivalent JSON value.

It owns the bounds on depth, elements and encoding, checked while the text is read. It must not know what the tags mean.
"""

from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError  # nosec B405  # the exception's name only; defusedxml parses

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import XMLParser

from cffs.core.errors import MalformedAnswer

#: The document is two levels deep; a few wrappers more are tolerated.
_MAX_DEPTH = 8
#: A call has a handful of recordings. This is far above any, and costs little memory.
_MAX_ELEMENTS = 100_000
_TEXT_FIELD = "value"


@dataclass(slots=True)
class _Element:
    """One element while it is open."""

    tag: str
    fields: dict[str, object] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def add(self, name: str, value: object) -> None:
        """Add a child; a name that occurs again holds a list."""
        if name not in self.fields:
            self.fields[name] = value
        elif isinstance(held := self.fields[name], _Repeated):
            held.append(value)
        else:
            self.fields[name] = _Repeated([held, value])

    def value(self) -> object:
        """The text alone where there is no more; with attributes or children an object, its text in `value`."""
        text = "".join(self.texts).strip()
        if not self.fields:
            return text
        return {**self.fields, _TEXT_FIELD: text} if text else self.fields


class _Repeated(list[object]):
    """The values of a name that occurs more than once."""


class _Target:
    """The target of the parser's events, for one parse."""

    def __init__(self, what: str) -> None:
        self.root: _Element | None = None
        self._what = what
        self._open: list[_Element] = []
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str], /) -> None:
        self._elements += 1
        if len(self._open) == _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise MalformedAnswer(f"{self._what}: XML too deep or too large")
        element = _Element(_local_name(tag))
        for name, text in attributes.items():
            element.add("@" + _local_name(name), text)
        self._open.append(element)

    def data(self, text: str, /) -> None:
        if self._open:
            self._open[-1].texts.append(text)

    def end(self, _tag: str, /) -> None:
        element = self._open.pop()
        if self._open:
            self._open[-1].add(element.tag, element.value())
        else:
            self.root = element

    def close(self) -> None:
        """End of the parser's protocol; the result is in `root`."""


def _local_name(tag: str) -> str:
    """`{namespace}Tag` as `tag`: v1 spells its tags in several ways, and its namespace is not documented."""
    return tag.rpartition("}")[2].lower()


def parse_xml(body: bytes, *, what: str) -> tuple[str, object]:
    """The root's tag and its value: a text, or an object of its attributes (`@name`) and children.

    Tags are in lower case without namespace; a tag that repeats holds a list. The bytes are read as UTF-8 whatever the
    declaration says (the document's example declares UTF-8), so that no encoding can hide markup. Raises
    MalformedAnswer for a DTD, an entity, an external reference, too much depth or size, and everything that is not
    well-formed XML in UTF-8.
    """
    if b"\0" in body:
        # expat takes `<` NUL for UTF-16 even where an encoding is given.
        raise MalformedAnswer(f"{what}: not XML in UTF-8")
    target = _Target(what)
    parser = XMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    try:
        parser.feed(body)
        parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as exc:
        raise MalformedAnswer(f"{what}: not plain XML ({type(exc).__name__})") from exc
    if target.root is None:
        raise MalformedAnswer(f"{what}: no XML element")
    return target.root.tag, target.root.value()
