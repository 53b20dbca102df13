"""Escapes taken out of a text, so that the URLs in it can be read.

It owns the escapes of JSON, XML and HTML, and percent-encoding. It must not know what is searched for. Pure and
bounded: a text never gets longer, and what is no escape stays as it is.
"""

import re
from urllib.parse import unquote_to_bytes

#: JSON's `\/` and `\u002F`, JavaScript's `\x2F`.
_BACKSLASHED = re.compile(rb"\\(?:(/)|u00([2-7][0-9a-fA-F])|x([2-7][0-9a-fA-F]))")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'", b"sol": b"/", b"colon": b":"}
_ENTITY = re.compile(rb"&(?:(amp|lt|gt|quot|apos|sol|colon)|#([0-9]{2,3})|#[xX]([2-7][0-9a-fA-F]));")
#: Text within text: `&amp;lt;` stands for `&lt;`, which stands for `<`.
_MAX_LEVELS = 3
#: A URL as a parameter of another one, or in the body of a form; encoded more than once, its percent signs are encoded
#: too.
_ENCODED = re.compile(rb"https?%(?:25){0,3}3[aA](?:%(?:25){0,3}2[fF]){2}[A-Za-z0-9\-._~!*()%+]*")
_PRINTABLE = range(0x20, 0x7F)


def unescaped(text: bytes) -> bytes:
    """The text with its escapes read. Of percent-encoding only that of whole URLs is, since a URL may hold its own.
    Such a URL ends its line, so that what followed its encoded form does not follow it."""
    if b"\\" in text:
        text = _BACKSLASHED.sub(_backslashed, text)
    for _level in range(_MAX_LEVELS):
        read = _ENTITY.sub(_entity, text) if b"&" in text else text
        if read == text:
            break
        text = read
    return _ENCODED.sub(_decoded, text) if b"%" in text else text


def _backslashed(found: re.Match[bytes]) -> bytes:
    return b"/" if found[1] else bytes([int(found[2] or found[3], 16)])


def _entity(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return _NAMED[found[1]]
    code = int(found[2]) if found[2] else int(found[3], 16)
    return bytes([code]) if code in _PRINTABLE else found[0]


def _decoded(found: re.Match[bytes]) -> bytes:
    url = found[0]
    while b"://" not in url[:8]:  # each round takes one level of a head that the expression bounds
        url = unquote_to_bytes(url)
    return url + b"\n"
