"""me/api/credentials/: listed API credentials, and those that this mount created.

It must not know how credentials are created (`writer/credentials`). Passwords of those that this mount created are held
in memory only.
"""

from cffs.catalog.account_lists import CREDENTIALS, ask_credentials, kept_list
from cffs.core.errors import ActUncertain, NotInTree, RemoteObjectMissing
from cffs.tree.contents import Content, Document, Entry
from cffs.tree.context import FIRST_ROW_OFFSET, Context, fixed, past
from cffs.tree.me import asked, v2_of
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import CreatedCredentialNode, CredentialJsonNode, Kind, Node
from cffs.tree.routes import routes_of
from cffs.tree.unproven import Question
from cffs.tree.write_handlers import WriteHandlers, not_permitted

_MASK = "*" * 16
_DOCUMENT_NAME = "credential.json"
#: After every offset of a listed credential.
_CREATED_OFFSET = 2**32


def credential_json(context: Context, node: CredentialJsonNode) -> Content:
    """GET /me/api/credentials/{id}; the service masks the password."""
    credential_id = node.credential_id

    async def fetch() -> object:
        # the document is kept on disk: a password in it is masked here too, whatever the service sends
        row = await v2_of(context).get_credential(credential_id)
        return {name: _MASK if name == "password" else value for name, value in row.items()}

    return asked(context, f"me/api/credentials/{credential_id}", fetch)


def created_json(context: Context, node: CreatedCredentialNode) -> Content:
    """What the service said of a credential when this mount created it, from memory: no request, and nothing on
    disk."""
    return Document(body=context.actions.credentials.document(node.name))


async def _ask(context: Context) -> None:
    v2 = v2_of(context)

    async def fetch() -> object:
        # ids only: what is kept on disk must not hold even a masked password
        return list(await ask_credentials(v2))

    await context.account.document(CREDENTIALS, fetch)


def _kept_ids(context: Context) -> list[int]:
    kept = kept_list(context.catalog, CREDENTIALS)
    return [number for number in kept if isinstance(number, int) and number > 0]


async def prepare(context: Context, _node: Node) -> None:
    """Ask for the list where it is unknown or old."""
    await _ask(context)


def resolve_listed(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """A credential that the service lists."""
    v2_of(context)
    node = CredentialJsonNode(int(parts["id"]))

    def listed() -> Node:
        if node.credential_id not in _kept_ids(context):
            raise RemoteObjectMissing(f"credential {node.credential_id}")
        return node

    if context.account.has_fresh_document(CREDENTIALS):
        return listed()

    async def ask() -> Node:
        await _ask(context)
        return listed()

    return Question(node, ask)


def resolve_created(context: Context, _parent: Node, parts: Parts) -> Node:
    """A credential that this mount created and has not forgotten. Costs no request."""
    if parts["NAME"] not in [name for _number, name in context.actions.credentials.numbered()]:
        raise NotInTree("not a credential that was created here")
    return CreatedCredentialNode(parts["NAME"])


def resolve_created_json(context: Context, parent: CreatedCredentialNode, _parts: Parts) -> Node:
    """The document of a created credential."""
    context.actions.credentials.document(parent.name)
    return CreatedCredentialNode(parent.name, Kind.CREATED_CREDENTIAL_JSON)


def entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The credentials of the last answer, then the folders of those created here."""
    created = [
        Entry(_CREATED_OFFSET + number, name, CreatedCredentialNode(name))
        for number, name in context.actions.credentials.numbered()
    ]
    listed = [
        Entry(FIRST_ROW_OFFSET + index, f"{credential_id}.json", CredentialJsonNode(credential_id))
        for index, credential_id in enumerate(_kept_ids(context))
    ]
    return past([*listed, *created], after)


def created_entries(_context: Context, node: CreatedCredentialNode, after: int) -> list[Entry]:
    """The one document of a created credential."""
    return past(fixed((_DOCUMENT_NAME, CreatedCredentialNode(node.name, Kind.CREATED_CREDENTIAL_JSON))), after)


async def _create(context: Context, folder: Node, name: str) -> Node:
    credential_id = await context.actions.credentials.create(name)
    context.name_changed(folder, f"{credential_id}.json")
    return CreatedCredentialNode(name)


async def _forget(context: Context, _folder: Node, name: str) -> None:
    context.actions.credentials.forget(name)


async def _delete(context: Context, folder: Node, name: str) -> None:
    (route,) = (route for route in routes_of(Kind.CREDENTIALS) if route.kind is Kind.CREDENTIAL_JSON)
    parts = route.match(name)
    if parts is None:
        raise NotInTree(name)
    try:
        for created in await context.actions.credentials.delete(int(parts["id"])):
            context.name_changed(folder, created)
    except ActUncertain:
        context.name_changed(folder, name)  # the kernel thinks that it is still there
        raise


#: mkdir creates a credential, rmdir forgets its password, rm of `{id}.json` deletes it.
FOLDER_WRITING = WriteHandlers(
    permissions=0o755,
    has_mkdir=True,
    create_file=not_permitted("credentials are created by mkdir"),
    make_folder=_create,
    remove_file=_delete,
    remove_folder=_forget,
    rename=not_permitted("a credential keeps its name"),
)
CREATED_WRITING = WriteHandlers(remove_file=not_permitted("a password is forgotten by rmdir of its folder"))
CREATED_JSON_WRITING = WriteHandlers(permissions=0o400)
