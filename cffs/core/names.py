"""Encoding of the service's texts as file names, and back.

The rule (see cffs/docs/semantics.md#names): text is normalised to NFC. `/`, `%`, NUL, control and bidi-control
characters, lone surrogates, a leading `-`, and the names `.` and `..` are written as `%XX` for each of their UTF-8
bytes. A name has at most 255 bytes.

It owns that rule and its inverse. It must not know which folder a name is for.
"""

import re
import unicodedata
from collections.abc import Callable

from cffs.core.errors import NotInTree

#: NAME_MAX of Linux (linux/limits.h), in bytes.
MAX_NAME_NBYTES = 255
#: How many id marks are tried with the stem. More than one is needed only where stems imitate marks.
_MAX_MARKS = 100
#: Ends the search whatever `taken` says; no folder has that many names with one id in them.
_MAX_ATTEMPTS = 100_000
#: C0, DEL and C1; the separators; bidi marks, embeddings, overrides and isolates; surrogates (all lone in a Python
#: str; spelt as escapes because a source file cannot hold them).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f/%\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: A unit of a name that a cut must not split: all the escapes of one character, or a plain character.
_UNIT = re.compile(
    "%[0-7][0-9A-F]|%[CD][0-9A-F]%[0-9A-F]{2}|%E[0-9A-F](?:%[0-9A-F]{2}){2}|[^%]",
    re.DOTALL,
)
_ESCAPES = re.compile("(?:%[0-9A-F]{2})+")
#: A byte that is no UTF-8, as `surrogateescape` decodes it (PEP 383).
_LONE_BYTE = re.compile("[\udc80-\udcff]")


def from_kernel(name: bytes) -> str:
    """A file name from the kernel: UTF-8 whatever the locale; bytes that are no UTF-8 are kept (PEP 383)."""
    return name.decode("utf-8", "surrogateescape")


def to_kernel(name: str) -> bytes:
    """The inverse of `from_kernel`."""
    return name.encode("utf-8", "surrogateescape")


def encode_name(text: str) -> str:
    """The file name of `text`, for every text; `decode_name` gives back `text` in NFC.

    Two texts have the same name only if they are equal in NFC. The name may be empty, and longer than 255 bytes: a name
    for a listing goes through `file_name`, which prevents both.
    """
    text = unicodedata.normalize("NFC", text)
    if text in (".", ".."):
        return "%2E" * len(text)
    name = _UNSAFE.sub(lambda match: _escaped(match.group()), text)
    # Programs take a leading dash for an option: `rm *`.
    return "%2D" + name[1:] if name.startswith("-") else name


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def decode_name(name: str) -> str:
    """The text that `encode_name` made this name from.

    Raises NotInTree for a name that `encode_name` never gives (`50%`, `%41`, `%2f`, letters not in NFC, bytes that were
    no UTF-8), so that no object opens under two names.
    """
    try:
        text = _ESCAPES.sub(lambda match: _unescaped(match.group()), name)
    except UnicodeDecodeError as exc:
        raise NotInTree(f"not a name of this tree: {name[:MAX_NAME_NBYTES]!a}") from exc
    if encode_name(text) != name:
        raise NotInTree(f"not a name of this tree: {name[:MAX_NAME_NBYTES]!a}")
    return text


def _unescaped(escapes: str) -> str:
    return bytes.fromhex(escapes.replace("%", "")).decode("utf-8", "surrogatepass")


def file_name(
    stem: str,
    *,
    extension: str,
    id: int,  # noqa: A002  # the word the tree's own names use
    taken: Callable[[str], bool],
) -> str:
    """The name under which the object `id` is listed in a folder.

    `stem` comes from `encode_name`. `extension` is ours: ASCII with its dot, or "". `taken` says whether the folder has
    a name already. The result is never taken, never empty, `.` or `..`, and has at most 255 bytes of UTF-8. A stem that
    is empty, taken or too long (then cut between characters) carries ` ~{id}` before the extension. Where even that is
    taken, since a stem can be spelt so, a second counter follows, and at last the stem is left out.

    Raises ValueError for a stem that `encode_name` never gives (one with `/` or NUL, or `.` or `..`), and where
    `taken` is true for everything.
    """
    if "/" in stem or "\0" in stem or stem in (".", ".."):
        raise ValueError(f"not an encoded name: {stem[:MAX_NAME_NBYTES]!a}")
    name = stem + extension
    if stem and name_nbytes(name) <= MAX_NAME_NBYTES and not taken(name):
        return name
    for attempt in range(1, _MAX_ATTEMPTS):
        tail = f" ~{id}{extension}" if attempt == 1 else f" ~{id} ~{attempt}{extension}"
        # `taken` may refuse a name for how it begins (`._x`): then no mark helps, only another beginning.
        name = _cut(stem if attempt <= _MAX_MARKS else "", MAX_NAME_NBYTES - len(tail)) + tail
        if not taken(name):
            return name
    raise ValueError("every name is taken")


def _cut(name: str, max_nbytes: int) -> str:
    """As many whole characters of an encoded name as fit; the escapes of one character stay together."""
    if name_nbytes(name) <= max_nbytes:
        return name
    kept: list[str] = []
    for match in _UNIT.finditer(name):
        max_nbytes -= name_nbytes(match.group())
        if max_nbytes < 0:
            break
        kept.append(match.group())
    return "".join(kept)


def name_nbytes(name: str) -> int:
    """The number of bytes of the name in UTF-8, or as the kernel passed them where they are no UTF-8."""
    if name.isascii():
        return len(name)
    return len(name.encode("utf-8", "surrogatepass")) - 2 * len(_LONE_BYTE.findall(name))


def is_text(name: str) -> bool:
    """False for a text that UTF-8 cannot encode: the kernel passed other bytes, or it has a lone surrogate."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)
