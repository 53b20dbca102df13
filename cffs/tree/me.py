"""me/: the account itself and its billing.

It must not know recordings or media, nor numbers and credentials (`me_caller_ids`, `me_credentials`). Everything here
is v2's. Answers are kept for the listing's time to live, and shown again where the service cannot be asked.
"""

from collections.abc import Awaitable, Callable

from cffs.callfire.v2 import V2Client
from cffs.core.errors import NotInTree
from cffs.core.times import day_interval_ms, month_interval_ms, parse_day, parse_month
from cffs.tree.contents import Content, Document, Entry
from cffs.tree.context import Context, fixed, past
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import CreditUsageNode, FixedNode, Kind, Node

Fetch = Callable[[], Awaitable[object]]


def v2_of(context: Context) -> V2Client:
    """The client of v2. Raises NotInTree where there is none."""
    if context.account.v2 is None:
        raise NotInTree("the account is v2's")
    return context.account.v2


def resolve_me_api(context: Context, _parent: Node, _parts: Parts) -> Node:
    """me/api exists for the account's owner only."""
    v2_of(context)
    if not context.account.has_account_login:
        raise NotInTree("me/api needs the account login")
    return FixedNode(Kind.ME_API)


def resolve_interval(context: Context, _parent: Node, parts: Parts) -> Node:
    """A month, or a range of days that does not end before it begins. Days that no calendar has are no name."""
    v2_of(context)
    zone = context.catalog.zone
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
    return CreditUsageNode(begin_ms, end_ms)


# -- documents --


def account_json(context: Context, _node: Node) -> Content:
    """GET /me/account."""
    return asked(context, "me/account", lambda: v2_of(context).get_account())


def plan_usage_json(context: Context, _node: Node) -> Content:
    """GET /me/billing/plan-usage."""
    return asked(context, "me/billing/plan-usage", lambda: v2_of(context).get_plan_usage())


def credit_usage_json(context: Context, _node: Node) -> Content:
    """GET /me/billing/credit-usage, over all time."""
    return asked(context, "me/billing/credit-usage", lambda: v2_of(context).get_credit_usage())


def interval_json(context: Context, node: CreditUsageNode) -> Content:
    """GET /me/billing/credit-usage, over an interval."""
    begin_ms, end_ms = node.begin_ms, node.end_ms
    return asked(
        context,
        f"me/billing/credit-usage/{begin_ms}..{end_ms}",
        lambda: v2_of(context).get_credit_usage(begin_ms, end_ms),
    )


def asked(context: Context, key: str, fetch: Fetch) -> Document:
    """The answer of `fetch`, kept under `key`; it is as old as the first answer with that content."""

    async def load() -> bytes:
        return await context.account.document(key, fetch)

    kept = context.catalog.document(key)
    return Document(body=None, load=load, volatile=True, modified_ms=kept.seen_ms if kept is not None else None)


# -- folders --


def me_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The account's entries; api/ only with the account login."""
    named: list[tuple[str, Node]] = [
        ("account.json", FixedNode(Kind.ACCOUNT_JSON)),
        ("billing", FixedNode(Kind.BILLING)),
        ("callerids", FixedNode(Kind.CALLER_IDS)),
    ]
    if context.account.has_account_login:
        named.append(("api", FixedNode(Kind.ME_API)))
    return past(fixed(*named), after)


def billing_entries(_context: Context, _node: Node, after: int) -> list[Entry]:
    """The two documents and the folder of intervals."""
    return past(
        fixed(
            ("plan-usage.json", FixedNode(Kind.PLAN_USAGE_JSON)),
            ("credit-usage.json", FixedNode(Kind.CREDIT_USAGE_JSON)),
            ("credit-usage", FixedNode(Kind.CREDIT_USAGE)),
        ),
        after,
    )


def me_api_entries(_context: Context, _node: Node, after: int) -> list[Entry]:
    """The folder of credentials."""
    return past(fixed(("credentials", FixedNode(Kind.CREDENTIALS))), after)


def nothing(_context: Context, _node: Node, _after: int) -> list[Entry]:
    """A folder that lists nothing: its files open by lookup."""
    return []
