"""Parser of multipart/form-data.

It owns how the body of a form is split into fields. It must not know what the fields mean.
"""

import re
from email.message import Message
from typing import Final

_DISPOSITION: Final = re.compile(rb"content-disposition:([^\r\n]*)", re.IGNORECASE)


def form_parts(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of a multipart body as {name: (file name, bytes)}; fields that cannot be parsed are left out."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        return {}
    parts: dict[str, tuple[str, bytes]] = {}
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))[1:]:
        if piece.startswith(b"--"):
            break
        head, _, data = piece.partition(b"\r\n\r\n")
        match = _DISPOSITION.search(head)
        if match is None:
            continue
        disposition = Message()
        disposition["content-disposition"] = match[1].decode("utf-8", "surrogateescape").strip()
        field = disposition.get_param("name", header="content-disposition")
        filename = disposition.get_filename("")
        if isinstance(field, str):
            parts[field] = filename, data
    return parts
