"""The one place where a text of the service becomes a file name, and a file name such a text again.

It must not know which folder a name is for, nor the kernel's encoding of it (names are str, bytes only to be counted).
The catalogue gives names with it, the tree reads looked-up names with it.

The rule (contract, section 3): NFC; `/`, `%`, NUL, control and bidi-control characters, lone surrogates, a leading
`-`, and the names `.` and `..` are written as `%XX` of their UTF-8 bytes; at most 255 bytes.
"""

import re
import unicodedata
from collections.abc import Callable

from cffs.core.errors import NotInTree

#: NAME_MAX of Linux, in bytes.
MAX_NAME_NBYTES = 255
#: Marks tried with the stem. More than one is needed only where stems imitate marks.
_MAX_MARKS = 100
#: Ends the search whatever `taken` says; no folder has as many names with one id in them.
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
#: A byte that is no UTF-8, as `surrogateescape` writes it (PEP 383).
_LONE_BYTE = re.compile("[\udc80-\udcff]")


def from_kernel(name: bytes) -> str:
    """A file name as a program said it: UTF-8 whatever the locale; bytes that are none stay what they are (PEP 383)."""
    return name.decode("utf-8", "surrogateescape")


def to_kernel(name: str) -> bytes:
    """The inverse of `from_kernel`."""
    return name.encode("utf-8", "surrogateescape")


def encode_name(text: str) -> str:
    """The file name of `text`: total, and `decode_name` gives back `text` in NFC.

    Two texts have the same name only if they are equal in NFC. The name may be "" (of "") and longer than 255 bytes:
    what is listed goes through `file_name`, which sees to both.
    """
    text = unicodedata.normalize("NFC", text)
    if text in (".", ".."):
        return "%2E" * len(text)
    name = _UNSAFE.sub(lambda match: _escaped(match.group()), text)
    # Programs read a leading dash as an option: `rm *`.
    return "%2D" + name[1:] if name.startswith("-") else name


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def decode_name(name: str) -> str:
    """The text whose name this is: the inverse of `encode_name`, for names not yet known.

    Raises NotInTree for what `encode_name` never gives (`50%`, `%41`, `%2f`, letters not in NFC, bytes that were no
    UTF-8), so that no object opens under two names.
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

    `stem` is what `encode_name` gave; `extension` is ours: ASCII, with its dot, "" for none. `taken` says whether the
    folder has a name already. The result is never taken, never empty, `.` or `..`, and at most 255 bytes of UTF-8. A
    stem that is empty, taken or too long (then cut on a character) carries ` ~{id}` before the extension; should even
    that be taken (a stem can be spelt so), a second counter follows, and at last the stem is left out.
    Raises ValueError for a stem that `encode_name` never gives (one with `/` or NUL, or `.` or `..`), and where
    `taken` is true of everything.
    """
    if "/" in stem or "\0" in stem or stem in (".", ".."):
        raise ValueError(f"not an encoded name: {stem[:MAX_NAME_NBYTES]!a}")
    name = stem + extension
    if stem and name_nbytes(name) <= MAX_NAME_NBYTES and not taken(name):
        return name
    for attempt in range(1, _MAX_ATTEMPTS):
        tail = f" ~{id}{extension}" if attempt == 1 else f" ~{id} ~{attempt}{extension}"
        # A caller may call names taken for how they begin (`._x`): then no mark helps, only another beginning.
        name = _cut(stem if attempt <= _MAX_MARKS else "", MAX_NAME_NBYTES - len(tail)) + tail
        if not taken(name):
            return name
    raise ValueError("every name is taken")


def _cut(name: str, max_nbytes: int) -> str:
    """As many whole characters from the start of an encoded name as fit; escapes of one character stay together."""
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
    """How many bytes the name has, in UTF-8 or, where the kernel passed bytes that are none, as it passed them."""
    if name.isascii():
        return len(name)
    return len(name.encode("utf-8", "surrogatepass")) - 2 * len(_LONE_BYTE.findall(name))


def is_text(name: str) -> bool:
    """False for a name or text that UTF-8 cannot spell: the kernel passed other bytes, or it has a lone surrogate."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)
