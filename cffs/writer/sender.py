"""Sending one file to the service, and making the result known.

Owns the one request of an upload, and what follows from its answer. It must not know descriptors, handles or the
kernel.
"""

import logging
from collections.abc import AsyncIterable, Callable
from typing import Protocol

import trio

from cffs.catalog import upserts
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.errors import (
    ActUncertain,
    CffsError,
    ContentRefused,
    DuplicateMedia,
    OperationNotOffered,
    RemoteObjectMissing,
    WriteRefused,
)
from cffs.core.media_content import HEAD_NBYTES, ContentVerdict, check_content
from cffs.core.media_types import stem_of
from cffs.core.values import Media, Page
from cffs.writer.names import MediaName
from cffs.writer.spool import SENDING, SENT
from cffs.writer.upload_file import UploadFile

log = logging.getLogger(__name__)

#: How long the service may take to describe an upload. After that, what was sent describes it until the service does.
DESCRIBE_SECONDS = 5.0
#: Enough to find one name again among similar ones.
_SEARCHED = 100


class MediaService(Protocol):
    """The operations of the service that an upload needs."""

    async def create_media(
        self,
        content: AsyncIterable[bytes],
        *,
        nbytes: int,
        filename: str,
        name: str | None = None,
        content_type: str = ...,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Send a file, at most once; returns its id."""
        ...

    async def get_media(self, media_id: int) -> Media:
        """The service's description of a file."""
        ...

    async def find_media(self, *, limit: int, offset: int, name_filter: str | None = None) -> Page[Media]:
        """A page of the media whose name contains `name_filter`."""
        ...


class Sender:
    """Sends the uploads of one mount."""

    def __init__(
        self,
        service: MediaService,
        *,
        catalog: Catalog,
        single_flight: SingleFlight,
        wall_ms: Callable[[], int],
        appeared: Callable[[int], None],
    ) -> None:
        """`appeared` gets the id of each file that an upload brought into the catalogue. No I/O."""
        self._service = service
        self._catalog = catalog
        self._single_flight = single_flight
        self._wall_ms = wall_ms
        self._appeared = appeared

    async def send(self, upload: UploadFile, name: str, sent_as: MediaName) -> int:
        """Send the file; returns its id, under which it is in the catalogue.

        Raises ContentRefused before anything is sent; afterwards, what the service's refusal or silence means. The
        catalogue then has the entry that a duplicate is a duplicate of, or, after a lost answer, what the service lists
        under the name. Always a checkpoint; cancelled, the file may have been sent.
        """
        await require_content(upload, sent_as)
        await upload.mark(SENDING)
        try:
            media_id = await self._service.create_media(
                upload.chunks(),
                nbytes=upload.nbytes,
                filename=name,
                name=sent_as.stem,
                content_type=sent_as.content_type,
                progress=upload.progressed,
            )
        except DuplicateMedia as duplicate:
            log.warning("upload refused name=%s reason=%s", name, duplicate)
            await self._describe(duplicate.media_id)
            raise
        except ActUncertain as lost:
            log.warning("upload uncertain name=%s reason=%s", name, lost)
            await self._search(name, sent_as, nbytes=upload.nbytes)
            raise
        except RemoteObjectMissing as absent:
            raise OperationNotOffered("this origin takes no media") from absent
        except CffsError as refusal:
            log.warning("upload refused name=%s reason=%s", name, refusal)
            raise
        try:
            await upload.mark(SENT)
        except WriteRefused as problem:  # it has arrived nevertheless
            log.warning("upload not marked as sent name=%s reason=%s", name, problem)
        log.info("uploaded name=%s id=%d nbytes=%d", name, media_id, upload.nbytes)
        if not await self._describe(media_id):
            await self._put(self._as_sent(media_id, upload, sent_as))
        return media_id

    async def _describe(self, media_id: int) -> bool:
        """Ask for the service's own description; returns whether it gave one with a type."""
        self._single_flight.forget(("media", media_id))
        try:
            with trio.fail_after(DESCRIBE_SECONDS):
                media = await self._service.get_media(media_id)
        except (CffsError, trio.TooSlowError) as problem:
            log.info("upload not described yet id=%d reason=%s", media_id, problem)
            return False
        if not media.extension:
            return False
        await self._put(media)
        return True

    async def _search(self, name: str, sent_as: MediaName, *, nbytes: int) -> None:
        """Ask what became of an upload whose answer was lost; what is found comes into the catalogue."""
        try:
            with trio.fail_after(DESCRIBE_SECONDS):
                page = await self._service.find_media(limit=_SEARCHED, offset=0, name_filter=sent_as.stem)
        except (CffsError, trio.TooSlowError) as problem:
            log.warning("upload still uncertain: the service did not answer name=%s reason=%s", name, problem)
            return
        found = [
            media
            for media in page.items
            if stem_of(media.name, sent_as.extension) == sent_as.stem and media.extension == sent_as.extension
        ]
        for media in found:
            await self._put(media)
        ids = ", ".join(str(media.id) for media in found)
        log.warning("upload uncertain name=%s nbytes=%d media_of_that_name=%s", name, nbytes, ids or "none")

    def _as_sent(self, media_id: int, upload: UploadFile, sent_as: MediaName) -> Media:
        document = {
            "id": media_id,
            "name": sent_as.stem,
            "lengthInBytes": upload.nbytes,
            "mediaType": sent_as.content_type,
        }
        return Media(
            id=media_id,
            name=sent_as.stem,
            created_ms=self._wall_ms(),
            hint_nbytes=upload.nbytes,
            extension=sent_as.extension,
            public_key=None,
            public_extension=None,
            document=document,
        )

    async def _put(self, media: Media) -> None:
        await self._catalog.write(lambda db: upserts.put_media(db, media))
        self._appeared(media.id)


async def require_content(upload: UploadFile, sent_as: MediaName, *, is_whole: bool = True) -> None:
    """Raise ContentRefused where the file is not of its type. Where it may still grow (not `is_whole`), a file that has
    only blanks or a tag so far passes. Always a checkpoint; cancelled, nothing has happened."""
    check = check_content(sent_as.extension)
    offset, verdict = next(check), ContentVerdict.OPEN
    try:
        while True:
            offset = check.send(await upload.read(offset, HEAD_NBYTES))
    except StopIteration as done:
        verdict = done.value
    if verdict is ContentVerdict.PAGE or (verdict is ContentVerdict.OPEN and is_whole):
        problem = ContentRefused(f"{upload.name} does not begin as a file of type {sent_as.extension}")
        log.warning("upload refused name=%s reason=%s", upload.name, problem)
        raise problem
