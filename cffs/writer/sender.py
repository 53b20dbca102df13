"""Sending one file to the service, and making what became of it known: rows, names, one log line.

It must not know descriptors, handles or the kernel.
`writer/uploads` sends through it.
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
from cffs.core.ids import MediaId
from cffs.core.media_content import HEAD_NBYTES, ContentVerdict, check_content
from cffs.core.media_types import stem_of
from cffs.core.values import Media, Page
from cffs.writer.names import MediaName
from cffs.writer.spool import SENDING, SENT
from cffs.writer.upload_file import UploadFile

log = logging.getLogger(__name__)

#: After an upload its description is asked for so long; then what was sent describes it, until the service does.
DESCRIBE_SECONDS = 5.0
#: Enough to find one name again among its like.
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
        """Sends it, at most once; its id."""
        ...

    async def get_media(self, media_id: int) -> Media:
        """What the service tells of a file."""
        ...

    async def find_media(self, *, limit: int, offset: int, name_filter: str | None = None) -> Page[Media]:
        """A page of those whose name holds `name_filter`."""
        ...


class Sender:
    """The way of a draft to the service. One a mount."""

    def __init__(
        self,
        service: MediaService,
        *,
        catalog: Catalog,
        questions: SingleFlight,
        wall_ms: Callable[[], int],
        appeared: Callable[[int], None],
    ) -> None:
        """`appeared` is told the id of each file that is in the catalogue by an upload. No I/O."""
        self._service = service
        self._catalog = catalog
        self._questions = questions
        self._wall_ms = wall_ms
        self._appeared = appeared

    async def send(self, draft: UploadFile, name: str, sent_as: MediaName) -> int:
        """The id of the file, which is in the catalogue then. Always a checkpoint; cancelled, it may have been sent.

        Raises ContentRefused before anything is sent, else what the service's refusal or silence means; a duplicate's
        own entry is in the catalogue then, and after a lost answer what the service shows under the name.
        """
        await require_content(draft, sent_as)
        await draft.mark(SENDING)
        try:
            media_id = await self._service.create_media(
                draft.chunks(),
                nbytes=draft.nbytes,
                filename=name,
                name=sent_as.stem,
                content_type=sent_as.content_type,
                progress=draft.progressed,
            )
        except DuplicateMedia as duplicate:
            log.warning("upload refused name=%s reason=%s", name, duplicate)
            await self._describe(duplicate.media_id)
            raise
        except ActUncertain as lost:
            log.warning("upload uncertain name=%s reason=%s", name, lost)
            await self._search(name, sent_as, nbytes=draft.nbytes)
            raise
        except RemoteObjectMissing as absent:
            raise OperationNotOffered("this origin takes no media") from absent
        except CffsError as refusal:
            log.warning("upload refused name=%s reason=%s", name, refusal)
            raise
        try:
            await draft.mark(SENT)
        except WriteRefused as problem:  # it has arrived all the same
            log.warning("upload not marked as sent name=%s reason=%s", name, problem)
        log.info("uploaded name=%s id=%d nbytes=%d", name, media_id, draft.nbytes)
        if not await self._describe(media_id):
            await self._put(self._made_up(media_id, draft, sent_as))
        return media_id

    async def _describe(self, media_id: int) -> bool:
        """Ask for the service's own description; whether it gave one that names a type."""
        self._questions.forget(("media", media_id))
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
        """Ask, not guess, what became of an upload whose answer was lost; what is found appears."""
        try:
            with trio.fail_after(DESCRIBE_SECONDS):
                page = await self._service.find_media(limit=_SEARCHED, offset=0, name_filter=sent_as.stem)
        except (CffsError, trio.TooSlowError) as problem:
            log.warning("upload uncertain name=%s; the service does not tell: %s", name, problem)
            return
        found = [
            media
            for media in page.items
            if stem_of(media.name, sent_as.extension) == sent_as.stem and media.extension == sent_as.extension
        ]
        for media in found:
            await self._put(media)
        ids = ", ".join(str(media.id) for media in found)
        log.warning("upload uncertain name=%s nbytes=%d; media of that name: %s", name, nbytes, ids or "none")

    def _made_up(self, media_id: int, draft: UploadFile, sent_as: MediaName) -> Media:
        told = {"id": media_id, "name": sent_as.stem, "lengthInBytes": draft.nbytes, "mediaType": sent_as.content_type}
        return Media(
            id=MediaId(media_id),
            name=sent_as.stem,
            created_ms=self._wall_ms(),
            hint_nbytes=draft.nbytes,
            extension=sent_as.extension,
            public_key=None,
            public_extension=None,
            document=told,
        )

    async def _put(self, media: Media) -> None:
        await self._catalog.write(lambda db: upserts.put_media(db, media))
        self._appeared(media.id)


async def require_content(draft: UploadFile, sent_as: MediaName, *, is_whole: bool = True) -> None:
    """Raises ContentRefused where the file is not of its type. Where it may still grow (not `is_whole`), one that has
    shown nothing but blanks or a tag so far passes. Always a checkpoint; if cancelled, nothing happened."""
    check = check_content(sent_as.extension)
    offset, verdict = next(check), ContentVerdict.OPEN
    try:
        while True:
            offset = check.send(await draft.read(offset, HEAD_NBYTES))
    except StopIteration as told:
        verdict = told.value
    if verdict is ContentVerdict.PAGE or (verdict is ContentVerdict.OPEN and is_whole):
        problem = ContentRefused(f"{draft.name} does not begin as a file of type {sent_as.extension}")
        log.warning("upload refused name=%s reason=%s", draft.name, problem)
        raise problem
