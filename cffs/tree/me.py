"""me/: the account itself, its billing, its verified numbers, its API credentials.

It must not know recordings or media.
The namespace calls it. Everything here is v2's; the answers are kept for the listing's time to live and shown again
where the service cannot be asked.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from cffs.callfire.v2 import V2Client
from cffs.catalog.paging import walk_pages
from cffs.catalog.questions import LOOKUP_PATIENCE_SECONDS
from cffs.core.errors import NotInTree, RemoteObjectMissing
from cffs.core.ids import parse_id
from cffs.core.times import day_interval_ms, month_interval_ms, parse_day, parse_month
from cffs.core.values import Page
from cffs.core.wire_json import as_list, decode
from cffs.tree.behaviour import Parts
from cffs.tree.context import FIRST_ROW_OFFSET, Context, fixed, past
from cffs.tree.nodes import Content, Document, Entry, Kind, Node
from cffs.tree.routes import routes_of

Fetch = Callable[[], Awaitable[object]]

_MASK = "*" * 16


def _v2(context: Context) -> V2Client:
    if context.account.v2 is None:
        raise NotInTree("the account is v2's")
    return context.account.v2


async def resolve_me_api(context: Context, _parent: Node, _parts: Parts) -> Node:
    """Only the account's owner sees it."""
    _v2(context)
    if not context.account.has_account_login:
        raise NotInTree("me/api needs the account login")
    return Node(Kind.ME_API)


async def resolve_interval(context: Context, _parent: Node, parts: Parts) -> Node:
    """A month, or a range of days whose end is not before its start; days that no calendar has are no name."""
    _v2(context)
    zone = ZoneInfo(context.settings.timezone)
    if "YYYY_MM" in parts:
        month = parse_month(parts["YYYY_MM"])
        if month is None:
            raise NotInTree(parts["YYYY_MM"])
        begin_ms, end_ms = month_interval_ms(month, zone=zone)
    else:
        first, last = parse_day(parts["from"]), parse_day(parts["to"])
        if first is None or last is None or last < first:
            raise NotInTree("not a range of days")
        begin_ms, end_ms = day_interval_ms(first, zone=zone)[0], day_interval_ms(last, zone=zone)[1]
    return Node(Kind.CREDIT_USAGE_INTERVAL_JSON, (begin_ms, end_ms))


# -- documents --


def account_json(context: Context, _node: Node) -> Content:
    """GET /me/account."""
    return _asked(context, "me/account", lambda: _v2(context).get_account())


def plan_usage_json(context: Context, _node: Node) -> Content:
    """GET /me/billing/plan-usage."""
    return _asked(context, "me/billing/plan-usage", lambda: _v2(context).get_plan_usage())


def credit_usage_json(context: Context, _node: Node) -> Content:
    """GET /me/billing/credit-usage, of all time."""
    return _asked(context, "me/billing/credit-usage", lambda: _v2(context).get_credit_usage())


def interval_json(context: Context, node: Node) -> Content:
    """GET /me/billing/credit-usage, of an interval."""
    begin_ms, end_ms = int(node.args[0]), int(node.args[1])
    return _asked(
        context,
        f"me/billing/credit-usage/{begin_ms}..{end_ms}",
        lambda: _v2(context).get_credit_usage(begin_ms, end_ms),
    )


def credential_json(context: Context, node: Node) -> Content:
    """GET /me/api/credentials/{id}; the service masks the password."""
    credential_id = int(node.args[0])

    async def fetch() -> object:
        # Kept on disk: whatever the service sends as a password is masked here too
        row = await _v2(context).get_credential(credential_id)
        return {name: _MASK if name == "password" else value for name, value in row.items()}

    return _asked(context, f"me/api/credentials/{credential_id}", fetch)


def _asked(context: Context, key: str, fetch: Fetch) -> Document:
    async def load() -> bytes:
        return await context.account.document(key, fetch)

    return Document(body=None, load=load, volatile=True)


# -- lists --


async def _caller_ids(context: Context, *, patience_seconds: float | None) -> list[str]:
    v2 = _v2(context)

    async def fetch() -> object:
        return list(await v2.get_caller_ids())

    return _numbers(await context.account.document("me/callerids", fetch, patience_seconds=patience_seconds))


def _numbers(body: bytes | None) -> list[str]:
    """Those that can be names of folders: a number of the service that holds a slash must not spoil the listing."""
    (route,) = routes_of(Kind.CALLER_IDS)
    return [str(number) for number in _kept_list(body) if route.match(str(number))]


def _kept_list(body: bytes | None) -> list[object]:
    return as_list(decode(body, what="a kept list")) if body is not None else []


async def prepare_caller_ids(context: Context, _node: Node) -> None:
    """Ask for the list where it is not known or old."""
    await _caller_ids(context, patience_seconds=None)


async def resolve_caller_id(context: Context, _parent: Node, parts: Parts) -> Node:
    """A number that the service lists as verified."""
    if parts["number"] not in await _caller_ids(context, patience_seconds=LOOKUP_PATIENCE_SECONDS):
        raise RemoteObjectMissing("not a verified number")
    return Node(Kind.CALLER_ID, (parts["number"],))


def caller_id_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The verified numbers of the last answer."""
    kept = context.catalog.document("me/callerids")
    numbers = _numbers(kept.body if kept else None)
    return past(fixed(*((number, Node(Kind.CALLER_ID, (number,))) for number in numbers)), after)


async def _credential_ids(context: Context, *, patience_seconds: float | None) -> list[int]:
    v2 = _v2(context)

    async def fetch() -> object:
        # Ids only: what is kept on disk must not hold even a masked password
        found: dict[int, None] = {}

        async def ask(limit: int, offset: int) -> Page[Any]:
            return await v2.find_credentials(limit=limit, offset=offset)

        async def take(items: Sequence[Any]) -> int:
            before = len(found)
            found.update(dict.fromkeys(_id_of(item) for item in items))
            return len(found) - before

        await walk_pages(ask, take)
        return list(found)

    return _ids(
        _kept_list(await context.account.document("me/api/credentials", fetch, patience_seconds=patience_seconds))
    )


def _ids(kept: list[object]) -> list[int]:
    return [number for number in kept if isinstance(number, int) and number > 0]


def _id_of(credential: Mapping[str, object]) -> int:
    return parse_id(str(credential.get("id"))) or 0


async def prepare_credentials(context: Context, _node: Node) -> None:
    """Ask for the list where it is not known or old."""
    await _credential_ids(context, patience_seconds=None)


async def resolve_credential(context: Context, _parent: Node, parts: Parts) -> Node:
    """A credential that the service lists."""
    credential_id = int(parts["id"])
    if credential_id not in await _credential_ids(context, patience_seconds=LOOKUP_PATIENCE_SECONDS):
        raise RemoteObjectMissing(f"credential {credential_id}")
    return Node(Kind.CREDENTIAL_JSON, (credential_id,))


def credential_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The credentials of the last answer."""
    kept = context.catalog.document("me/api/credentials")
    ids = _ids(_kept_list(kept.body if kept else None))
    entries = [
        Entry(FIRST_ROW_OFFSET + index, f"{credential_id}.json", Node(Kind.CREDENTIAL_JSON, (credential_id,)))
        for index, credential_id in enumerate(ids)
    ]
    return past(entries, after)


def me_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """What is there with v2, and api/ with the account login."""
    named = [
        ("account.json", Node(Kind.ACCOUNT_JSON)),
        ("billing", Node(Kind.BILLING)),
        ("callerids", Node(Kind.CALLER_IDS)),
    ]
    if context.account.has_account_login:
        named.append(("api", Node(Kind.ME_API)))
    return past(fixed(*named), after)


def billing_entries(_context: Context, _node: Node, after: int) -> list[Entry]:
    """The two documents and the folder of intervals."""
    return past(
        fixed(
            ("plan-usage.json", Node(Kind.PLAN_USAGE_JSON)),
            ("credit-usage.json", Node(Kind.CREDIT_USAGE_JSON)),
            ("credit-usage", Node(Kind.CREDIT_USAGE)),
        ),
        after,
    )


def me_api_entries(_context: Context, _node: Node, after: int) -> list[Entry]:
    """credentials/."""
    return past(fixed(("credentials", Node(Kind.CREDENTIALS))), after)


def nothing(_context: Context, _node: Node, _after: int) -> list[Entry]:
    """A folder that shows nothing: intervals open by lookup, a verified number's folder holds nothing to read."""
    return []
