"""The namespace: names to nodes, folders to entries, files to what stat shows.

It owns how a lookup tries the routes, what a promise is proven by, and what stat shows of a node. It must not know the
kernel, SQL or HTTP. It applies the tables, and singles out two things only: notes, which exist where they are kept, and
the state of a recording, which an open waits for.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import trio

from cffs.catalog.rows import Fact
from cffs.core.errors import (
    CffsError,
    DeadlineExceeded,
    NameTooLong,
    NotAFolder,
    NotInTree,
    OperationNotOffered,
    RecordingBroken,
    RemoteObjectMissing,
)
from cffs.core.names import MAX_NAME_NBYTES, is_text, name_nbytes
from cffs.core.probe_names import is_probe_name
from cffs.core.source import Api
from cffs.core.units import NS_PER_MS
from cffs.core.values import RecordingState
from cffs.reader.object_info import Known
from cffs.tree.calls_in_progress import ProgressChecks, is_being_made
from cffs.tree.contents import Content, Document, Entry, Remote, Spooled
from cffs.tree.context import FIRST_ROW_OFFSET, Context
from cffs.tree.folder_times import modified_ms
from cffs.tree.handler_table import HANDLERS
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace_writes import NamespaceWriting
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import Kind, Node, UnprovenNode
from cffs.tree.promised_names import PromisedNames
from cffs.tree.routes import FOLDERS, Route, routes_of
from cffs.tree.unlisted_recordings import wait_for_state
from cffs.tree.unproven import Question, Unproven

#: A folder's fixed entries lie up to here; they do not make up for a list that could not be asked for.
_LAST_FIXED_OFFSET = FIRST_ROW_OFFSET - 1


#: What exists only where notes are kept, and then costs no request.
_OF_NOTES = frozenset({Kind.NOTE, Kind.TEMPORARY_NOTE})


class Description(NamedTuple):
    """What stat can show of a node without a request.

    `nbytes` is None where the size is not known, and `is_exact` False where it is a hint. `is_volatile` marks a file
    that changes by itself, `is_passing` a name that may soon stand for something else. `modified_ns` is None where no
    time is known.
    """

    is_folder: bool
    nbytes: int | None = 0
    is_exact: bool = True
    is_volatile: bool = False
    is_passing: bool = False
    modified_ns: int | None = None


class Namespace:
    """The tree of one mount. Async methods may wait for the service; all others answer from what is known."""

    def __init__(self, context: Context, inodes: InodeTable) -> None:
        self.inodes = inodes
        self.writing = NamespaceWriting(context)
        self.promised_names = PromisedNames(context)
        self._context = context
        self._progress_checks = ProgressChecks(context)

    def find(self, parent: Node, name: str) -> Node | Unproven:
        """The node that `name` stands for in the folder `parent`, or what proves that it exists.

        Never a checkpoint: nothing is waited for. A listing that is due may be begun in the background.

        Raises NameTooLong or NotAFolder; NotInTree or RemoteObjectMissing where the name is known not to exist. Names
        that file managers probe by habit, or that are not UTF-8, are never asked for.
        """
        if name_nbytes(name) > MAX_NAME_NBYTES:
            raise NameTooLong(name[:MAX_NAME_NBYTES])
        promised = self.promised_names.find(parent)
        if promised is not None:
            return self._below(promised, name)
        return self._resolved(parent, name)

    def _resolved(self, parent: Node, name: str) -> Node | Unproven:
        if parent.kind not in FOLDERS:
            raise NotAFolder(parent.kind.name)
        missing: CffsError = NotInTree(name)
        questions: list[tuple[Route, Question]] = []
        for route, parts in _matching(parent.kind, name):
            handlers = HANDLERS[route.kind]
            resolve = handlers.resolve_in.get(parent.kind, handlers.resolve)
            try:
                found = resolve(self._context, parent, parts)
            except NotInTree as problem:
                missing = missing if isinstance(missing, RemoteObjectMissing) else problem
            except RemoteObjectMissing as problem:
                missing = problem
            else:
                if not isinstance(found, Question):
                    return found
                questions.append((route, found))
        if not questions:
            raise missing
        (route, first), asks = questions[0], [question.ask for _route, question in questions]
        stand_in = first.node or _stand_in(parent, name, is_folder=route.is_folder)
        unproven = Unproven(parent, name, route.kind, stand_in, partial(_first_found, asks))
        self.promised_names.require_not_denied(unproven)
        return unproven

    def _below(self, promised: Unproven, name: str) -> Unproven:
        """A name in a folder that is itself unproven: the folder is proven first."""
        folder = promised.stand_in
        if promised.kind not in FOLDERS:
            raise NotAFolder(promised.kind.name)

        async def ask() -> Node:
            self._begin_below(folder, name)
            found = self._resolved(await self.promised_names.ask(promised), name)
            # not by `promised_names.ask`: under the same folder and name it would wait for this very question
            return await found.ask() if isinstance(found, Unproven) else found

        for route, _parts in _matching(promised.kind, name):
            if route.kind in _OF_NOTES and self._context.notes is None:
                continue
            stand_in = _stand_in(folder, name, is_folder=route.is_folder)
            unproven = Unproven(folder, name, route.kind, stand_in, partial(_first_found, [ask]))
            self.promised_names.require_not_denied(unproven)
            return unproven
        raise NotInTree(name)

    def _begin_below(self, folder: Node, name: str) -> None:
        """Start to ask for a folder in a folder that is unproven, so that both answers come after one latency.

        Files wait for their folder: the bytes of a path that does not exist would be fetched in vain.
        """
        if folder.kind not in HANDLERS:
            return
        with suppress(CffsError):
            found = self._resolved(folder, name)
            if isinstance(found, Unproven) and found.kind in FOLDERS:
                self._context.account.begin(("ahead", folder, name), None, found.ask)

    def is_resolved(self, promised: Unproven) -> bool:
        """True where what is known now decides the name, so that it need not be proven again."""
        try:
            return not isinstance(self._resolved(promised.folder, promised.name), Unproven)
        except CffsError:
            return False

    async def lookup(self, parent: Node, name: str) -> Node:
        """The node that `name` stands for in the folder `parent`, asked for where it is not known.

        Raises what `find` raises, and what stops an answer. A checkpoint where it asks; cancelled, the request goes on,
        and the next lookup finds its answer.
        """
        found = self.find(parent, name)
        return await self.promised_names.ask(found) if isinstance(found, Unproven) else found

    async def lookup_patiently(self, unproven: Unproven) -> Node:
        """The node of a name that must not be promised, since the kernel may be about to create it. Waits as long as a
        lookup may hold up its folder, then raises DeadlineExceeded. Always a checkpoint."""
        with trio.move_on_after(self._context.account.patience_seconds(Api.V2)):
            return await unproven.ask()
        raise DeadlineExceeded("the service has not answered yet")

    def is_prepared(self, folder: Node) -> bool:
        """True where `prepare` would neither ask nor wait; a refresh that is due is then started in the background."""
        handlers = HANDLERS[folder.kind]
        if handlers.is_prepared is None or not handlers.is_prepared(self._context, folder):
            return False
        if handlers.listing:
            self._context.listings.refreshed(handlers.listing, handlers.campaign_of(folder))
        return True

    async def prepare(self, folder: Node) -> None:
        """Ask for what must be known before the folder can be listed; nothing where it was listed before.

        Raises what stops an answer, unless there is something to show. A checkpoint where it asks; cancelled, requests
        go on.
        """
        handlers = HANDLERS[folder.kind]
        try:
            await handlers.prepare(self._context, folder)
        except CffsError:
            if not handlers.entries(self._context, folder, _LAST_FIXED_OFFSET):
                raise
        if handlers.listing:
            self._context.listings.refreshed(handlers.listing, handlers.campaign_of(folder))

    def entries(self, folder: Node, *, after: int) -> list[Entry]:
        """The next known entries past the offset `after`, ascending; [] where there are none (yet). Raises NotAFolder
        for a file."""
        return HANDLERS[folder.kind].entries(self._context, folder, after)

    def is_in_thread(self, folder: Node) -> bool:
        """True where finding entries may take a look at every row: `page` must then be used, not `entries`."""
        return HANDLERS[folder.kind].entries_in_thread is not None

    async def page(self, folder: Node, *, after: int) -> list[Entry]:
        """What `entries` returns, from a thread where many rows must be looked at. A checkpoint there."""
        in_thread = HANDLERS[folder.kind].entries_in_thread
        return self.entries(folder, after=after) if in_thread is None else await in_thread(self._context, folder, after)

    def is_whole(self, folder: Node) -> bool:
        """True where one call of `entries` returns all that the folder has."""
        return HANDLERS[folder.kind].is_whole

    async def wait_for_entries(self, folder: Node) -> bool:
        """Wait for the next page of a first listing; True where more entries may have come.

        False at once where the folder has been listed before (a refresh goes on in the background), or where nothing
        lists it. Raises what stopped the first listing, if it left nothing to show or stopped in the middle: the caller
        has shown what was known then, and must learn that it is not all. A checkpoint where it waits.
        """
        handlers, listings = HANDLERS[folder.kind], self._context.listings
        name, campaign_id = handlers.listing, handlers.campaign_of(folder)
        if not name or listings.was_listed(name, campaign_id):
            return False
        listing = listings.refreshed(name, campaign_id)
        if listing is None:
            return False
        if listing.running:
            await listing.wait_for_progress()
            return True
        if listing.failure is not None and (listing.is_partial or not self.entries(folder, after=_LAST_FIXED_OFFSET)):
            raise listing.failure
        return False

    def content(self, file: Node) -> Content:
        """What the file holds, as far as it is known. Raises IsAFolder; RemoteObjectMissing where its row is gone."""
        return HANDLERS[file.kind].content(self._context, file)

    async def content_of_now(self, file: Node) -> Content:
        """What `content` returns; for a recording in progress its state is asked for first, at most once a second.
        Raises what `content` raises, but nothing that stops an answer. A checkpoint where it asks."""
        content = self.content(file)
        return self.content(file) if await self._progress_checks.check(file, content) else content

    def describe(self, node: Node) -> Description:
        """What stat can show now, without a request."""
        if node.kind in FOLDERS:
            return Description(is_folder=True, modified_ns=_ns(self.folder_modified_ms(node)))
        return self.describe_content(self.content(node))

    def folder_modified_ms(self, folder: Node) -> int | None:
        """When the newest of what the folder stands for was made; None where that is not known."""
        return modified_ms(self._context, folder)

    def listed_size_and_time(self, content: Remote) -> tuple[int | None, int | None]:
        """The size and the time (unix ms) of a file, as far as its listing alone gave them."""
        nbytes = None if self._context.settings.exact_sizes else content.hint_nbytes
        return nbytes, content.seen_ms if content.created_ms is None else content.created_ms

    def known(self, remote: Remote) -> Known | None:
        """What the catalogue knows of the object, as something to open it with; None where its size is not known."""
        return self._context.known(remote)

    def describe_content(self, content: Content) -> Description:
        """What stat can show of a file whose content is at hand."""
        if isinstance(content, Spooled):
            return Description(
                is_folder=False,
                nbytes=content.nbytes,
                is_exact=False,
                is_volatile=True,
                is_passing=True,
                modified_ns=_ns(content.modified_ms),
            )
        if isinstance(content, Document):
            return Description(
                is_folder=False,
                nbytes=content.nbytes if content.body is None else len(content.body),
                is_exact=False,  # rendered again at each open, under the same inode
                is_volatile=content.volatile,
                modified_ns=_ns(content.modified_ms),
            )
        if is_being_made(content):
            return Description(
                is_folder=False, nbytes=None, is_exact=False, is_volatile=True, modified_ns=_ns(content.created_ms)
            )
        fact = self._context.catalog.fact(content.key)
        exact = fact.nbytes if fact is not None else None
        if exact is None and (look := self._context.first_pieces.unsettled(content.key)) is not None:
            modified_ns = look.last_modified_ns if content.created_ms is None else _ns(content.created_ms)
            return Description(
                is_folder=False,
                nbytes=look.nbytes,
                is_exact=look.nbytes is not None,
                is_volatile=True,
                modified_ns=modified_ns,
            )
        hint = None if self._context.settings.exact_sizes else content.hint_nbytes
        modified_ns = _ns(content.created_ms)
        if modified_ns is None and fact is not None:
            modified_ns = fact.modified_ns
        if modified_ns is None:
            modified_ns = _ns(_first_seen_ms(content, fact))
        return Description(
            is_folder=False,
            nbytes=hint if exact is None else exact,
            is_exact=exact is not None,
            modified_ns=modified_ns,
        )

    async def load(self, document: Document) -> bytes:
        """The bytes of a rendered file, asked for where they are not known. Raises what stops an answer. A checkpoint
        where it asks."""
        if document.body is not None:
            return document.body
        if document.load is None:
            raise RemoteObjectMissing("a document without a source")
        return await document.load()

    async def measure(self, remote: Remote) -> None:
        """Ask the origin once for the size of a listed file without a usable hint. Only the first byte of its body is
        fetched, and the size is kept for good. A checkpoint where it asks."""
        if not self._context.is_known(remote):
            await self._context.objects.probe(remote.key, remote.sources)

    async def look_at(self, remote: Remote) -> None:
        """Ask for the first piece of an unlisted file, as an open does. Where that does not show its size, and the
        recording may be in progress, wait for its state. Always a checkpoint."""
        if self._context.first_pieces.unsettled(remote.key) is not None:
            await wait_for_state(self._context, remote)
        else:
            await self._context.require_remote(remote)

    def require_readable(self, remote: Remote) -> None:
        """Raise RecordingBroken for what the service itself calls broken, so that open() fails and not a read()."""
        if remote.state is RecordingState.ERROR:
            raise RecordingBroken(f"the service reports {remote.key} as broken (state ERROR)")


def _matching(kind: Kind, name: str) -> Iterator[tuple[Route, Parts]]:
    """The routes of a folder of that kind that match the name, with the parts of the name."""
    # The service has no such names; uploads and notes of this mount may.
    never_asked = is_probe_name(name) or not is_text(name)
    for route in routes_of(kind):
        parts = None if never_asked and route.asks else route.match(name)
        if parts is not None:
            yield route, parts


def _stand_in(folder: Node, name: str, *, is_folder: bool) -> Node:
    return UnprovenNode(folder, name, Kind.UNPROVEN_FOLDER if is_folder else Kind.UNPROVEN_FILE)


async def _first_found(asks: Sequence[Callable[[], Awaitable[Node]]]) -> Node:
    """The first node that a question finds. Raises RemoteObjectMissing where none does, whatever each of them raised to
    say so."""
    missing = RemoteObjectMissing("not there")
    for ask in asks:
        try:
            return await ask()
        except RemoteObjectMissing as no:
            missing = no
        except (NotInTree, OperationNotOffered) as no:
            missing = RemoteObjectMissing(str(no))
    raise missing


def _first_seen_ms(content: Remote, fact: Fact | None) -> int | None:
    """When the object was first seen, by a listing or by its own answer, whichever was first. An object that changed is
    as old as its new version."""
    if fact is not None and fact.version:
        return fact.seen_ms
    seen = (content.seen_ms, fact.seen_ms if fact is not None else None)
    return min((ms for ms in seen if ms is not None), default=None)


def _ns(unix_ms: int | None) -> int | None:
    return None if unix_ms is None else unix_ms * NS_PER_MS
