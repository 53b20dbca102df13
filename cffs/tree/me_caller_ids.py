"""me/callerids/: a folder for each number that is verified, or waits for its code.

It must not know how numbers are called or verified (`writer/caller_ids`).
"""

from cffs.catalog.account_lists import CALLER_IDS, kept_list
from cffs.core.errors import ActUncertain, CffsError, NotInTree, NotPermitted, RemoteObjectMissing
from cffs.tree.contents import Content, Document, Entry
from cffs.tree.context import Context, fixed, past
from cffs.tree.me import v2_of
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import CallerIdNode, Kind, Node
from cffs.tree.routes import routes_of
from cffs.tree.unproven import Question
from cffs.tree.write_handlers import Change, WritableFile, WriteHandlers, WriteOpen, not_permitted

_CODE_NAME = "verification-code"


async def prepare(context: Context, _node: Node) -> None:
    """Ask for the list where it is unknown or old."""
    await _ask(context)


async def _ask(context: Context) -> None:
    v2 = v2_of(context)

    async def fetch() -> object:
        return list(await v2.get_caller_ids())

    await context.account.document(CALLER_IDS, fetch)


def _verified(context: Context) -> list[str]:
    """The verified numbers that can be names of folders: a number with a slash in it must not spoil the listing."""
    (route,) = routes_of(Kind.CALLER_IDS)
    return [str(number) for number in kept_list(context.catalog, CALLER_IDS) if route.match(str(number))]


def resolve(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """A number that waits (which costs no request), or that the service lists as verified."""
    v2_of(context)
    node = CallerIdNode(parts["number"])

    def listed() -> Node:
        if parts["number"] not in _verified(context):
            raise RemoteObjectMissing("not a verified number")
        return node

    if parts["number"] in context.actions.caller_ids.waiting():
        return node
    if context.account.has_fresh_document(CALLER_IDS):
        return listed()

    async def ask() -> Node:
        await _ask(context)
        return listed()

    return Question(node, ask)


def entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The verified numbers of the last answer, and those that wait."""
    numbers = dict.fromkeys([*_verified(context), *context.actions.caller_ids.waiting()])
    return past(fixed(*((number, CallerIdNode(number)) for number in numbers)), after)


def resolve_code(context: Context, parent: CallerIdNode, _parts: Parts) -> Node:
    """Only a number that waits has the file."""
    if parent.number not in context.actions.caller_ids.waiting():
        raise NotInTree("the number does not wait for a code")
    return CallerIdNode(parent.number, Kind.VERIFICATION_CODE)


def number_entries(context: Context, node: CallerIdNode, after: int) -> list[Entry]:
    """The file for the code, as long as the code is awaited; the folder of a verified number is empty."""
    if node.number not in context.actions.caller_ids.waiting():
        return []
    return past(fixed((_CODE_NAME, CallerIdNode(node.number, Kind.VERIFICATION_CODE))), after)


def code_content(_context: Context, _node: Node) -> Content:
    """There is nothing to read."""
    return Document(body=b"")


class _CodeFile:
    """An open `verification-code`. Each write is a code and is sent at once, because a shell checks what write()
    returns and not what close() does. A program that writes a refused code again when it closes the file (Python's
    files do) gets the same error again, and nothing is sent."""

    def __init__(self, context: Context, number: str) -> None:
        self._context = context
        self._number = number
        self._refused: tuple[bytes, CffsError] | None = None

    async def read(self, _offset: int, _nbytes: int) -> bytes:
        return b""

    async def write(self, _offset: int, data: bytes) -> int:
        if self._refused is not None and self._refused[0] == data:
            raise self._refused[1]
        try:
            await self._context.actions.caller_ids.verify(self._number, data.decode("utf-8", "replace").strip())
        except CffsError as error:
            self._refused = bytes(data), error
            raise
        finally:
            if self._number not in self._context.actions.caller_ids.waiting():
                self._context.name_changed(CallerIdNode(self._number), _CODE_NAME)
        return len(data)

    async def truncate(self, _nbytes: int) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def fsync(self) -> None:
        pass

    async def release(self) -> None:
        pass


async def _ring(context: Context, folder: Node, number: str) -> Node:
    try:
        await context.actions.caller_ids.ask_for_call(number)
    except ActUncertain:
        context.name_changed(folder, number)  # the kernel thinks that nothing came of it, but the number waits
        raise
    return CallerIdNode(number)


async def _forget(context: Context, _folder: Node, number: str) -> None:
    if number in _verified(context) and number not in context.actions.caller_ids.waiting():
        raise NotPermitted("the service has no way to take a verified number back")
    await context.actions.caller_ids.forget(number)


async def _open_code(context: Context, file: CallerIdNode, _opening: WriteOpen) -> WritableFile:
    return _CodeFile(context, file.number)


async def _change_code(_context: Context, _file: Node, change: Change) -> None:
    if change.nbytes:
        raise NotPermitted("a code file has no length")


#: mkdir has a number called; rmdir forgets one that waits.
FOLDER_WRITING = WriteHandlers(
    permissions=0o755,
    has_mkdir=True,
    create_file=not_permitted("a number is rung by mkdir"),
    make_folder=_ring,
    remove_folder=_forget,
    rename=not_permitted("a number cannot be renamed"),
)
NUMBER_WRITING = WriteHandlers(remove_file=not_permitted("rmdir of the number's folder ends the wait for its code"))
CODE_WRITING = WriteHandlers(permissions=0o200, open_file=_open_code, change=_change_code)
