"""API v2, media: upload, metadata, downloads and the listing.

It owns which extension gives which type, and when an uploaded file becomes available. It must not know v1, ranges or
sockets.
"""

import time
from dataclasses import replace
from typing import Final

from cffs.standin.answers import Answer, Operation, Request, Site, error, json_answer, operation, paged, selected
from cffs.standin.media_files import EXTENSIONS, OTHER_EXTENSIONS
from cffs.standin.media_store import MediaRefused
from cffs.standin.multipart import form_parts

_MAGIC: Final = (
    (b"RIFF", "wav"),
    (b"ID3", "mp3"),
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
)
"""The first bytes of each type, for uploads without a suffix (python-callfire names every file `file`)."""


def _create(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    if len(request.body) > site.options.max_upload_nbytes:
        return error(413, "media file is too large")
    parts = form_parts(request.headers.get("content-type", ""), request.body)
    if "file" not in parts:
        return error(400, "file is required")
    filename, data = parts["file"]
    named, _, extension = filename.rpartition(".")
    if not named:
        extension = sniffed(data) or ""
    name = parts["name"][1].decode("utf-8", "replace") if "name" in parts else (named or filename)
    account = site.account
    try:
        media_id = account.media.upload(
            data,
            name=name,
            extension=extension.lower(),
            account_id=account.me.account_row["id"],
            transcode=site.options.transcode_uploads,
        )
    except MediaRefused as refused:
        return error(refused.status, refused.message)
    if site.options.unavailable_seconds:
        account.media.unavailable_until[media_id] = time.monotonic() + site.options.unavailable_seconds
    return json_answer({"id": media_id})


def sniffed(data: bytes) -> str | None:
    """The type by the first bytes; None where they show none."""
    if data[4:8] == b"ftyp":
        return "m4a" if data[8:11] == b"M4A" else "mp4"
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[:3] != b"\xff\xd8\xff":
        return "mp3"
    return next((extension for magic, extension in _MAGIC if data.startswith(magic)), None)


def _media(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    row = site.account.media.media_row(int(parameters["id"]), root_url=site.account.root_url)
    return error(404, "media not found") if row is None else selected(site, request, row)


def _download(site: Site, media_id: int | None, *, extension: str | None) -> Answer:
    """The bytes, where the extension is that of the type in either spelling; None asks for the raw download."""
    media = site.account.media
    found = None if media_id is None else media.media_object(media_id)
    if found is None or media_id is None:
        return error(404, "media not found")
    if time.monotonic() < media.unavailable_until.get(media_id, 0):
        return error(400, f"file currently unavailable for mediaId: {media_id}")
    if extension is None:
        return Answer(download=replace(found, content_type="application/binary"))
    if extension not in (*EXTENSIONS, *OTHER_EXTENSIONS, "jpeg"):
        return error(400, f"media type {extension} is not supported")
    if ("jpg" if extension == "jpeg" else extension) != media.extension(media_id):
        return error(404, f"media has no {extension} form")
    return Answer(download=found)


def _by_extension(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    return _download(site, int(parameters["id"]), extension=parameters["extension"])


def _raw(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    return _download(site, int(parameters["id"]), extension=None)


def _public(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    media_id = site.account.media.media_by_key(parameters["key"])
    return _download(site, media_id, extension=parameters["extension"])


def _find(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    media, wanted = site.account.media, request.first("filter")
    rows = [media.media_row(media_id, root_url=site.account.root_url) for media_id in media.media_ids()]
    return paged(site, request, [row for row in rows if row and (wanted is None or wanted in str(row.get("name")))])


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("GET", "/media", "findMedia", _find, in_seed=False),
    operation("POST", "/media", "createMedia", _create),
    operation("GET", "/media/public/{key}.{extension}", "getMediaDataByKey", _public),
    operation("GET", "/media/{id}", "getMedia", _media),
    operation("GET", "/media/{id}.{extension}", "getMediaData", _by_extension),
    operation("GET", "/media/{id}/file", "getMediaDataBinary", _raw),
)
"""The six operations of the second document, and the listing that only the full API has."""
