"""API v2, the account holder: details, API credentials, billing, caller ids.

It owns the bodies that these operations accept, and the statuses they answer. It must not know v1, ranges or sockets.
"""

import json
import re
from typing import Any, Final

from cffs.standin.answers import (
    Answer,
    Operation,
    Request,
    Site,
    error,
    integer,
    json_answer,
    operation,
    paged,
    selected,
)
from cffs.standin.call_filter import CallFilter

_NUMBER: Final = re.compile(r"[0-9]{11}")
"""E.164 without the plus, as the document asks."""

CREDITS_PER_CALL: Final = 1.5
ASSUMED_MINUTES_PER_CALL: Final = 0.55
"""The generated durations average a little more than half a minute."""


def _account(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    return selected(site, request, dict(site.account.me.account_row))


def _credentials(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    name = request.first("name")
    return paged(site, request, [row for row in site.account.me.credentials() if name in (None, row["name"])])


def _create_credential(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    name = _body(request).get("name")
    if not isinstance(name, str) or not name.strip():
        return error(400, "name is required")
    return json_answer(site.account.me.create_credential(name))


def _credential(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    row = site.account.me.credential(int(parameters["id"]))
    return error(404, "api credential not found") if row is None else selected(site, request, row)


def _delete_credential(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    if site.account.me.delete_credential(int(parameters["id"])):
        return Answer(status=204)
    return error(404, "api credential not found")


def _credit_usage(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    begin, end = integer(request, "intervalBegin"), integer(request, "intervalEnd")
    _, calls = site.account.call_page(
        CallFilter(interval_begin_ms=begin, interval_end_ms=end), offset=0, limit=1, embed=False
    )
    row = {
        "intervalBegin": begin or 0,
        "intervalEnd": site.account.shape.newest_ms if end is None else end,
        "callsDurationMinutes": int(calls * ASSUMED_MINUTES_PER_CALL),
        "textsSent": 0,
        "creditsUsed": calls * CREDITS_PER_CALL,
    }
    return selected(site, request, row)


def _plan_usage(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    return selected(site, request, site.account.me.plan_usage())


def _caller_ids(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    return selected(site, request, {"items": [{"phoneNumber": number} for number in site.account.me.caller_ids]})


def _call_caller_id(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    if not _NUMBER.fullmatch(parameters["number"]):
        return error(400, "caller id must be an E.164 number of 11 digits")
    if parameters["number"] in site.account.me.caller_ids:
        return error(400, f"cannot send a code to {parameters['number']} that is already verified")
    site.account.me.call_with_code(parameters["number"])
    return Answer()


def _verify_caller_id(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    code = _body(request).get("verificationCode")
    if not isinstance(code, str) or not _NUMBER.fullmatch(parameters["number"]):
        return error(400, "verificationCode is required")
    return json_answer(site.account.me.verify(parameters["number"], code))


def _body(request: Request) -> dict[str, Any]:
    """The JSON object in the body; an empty one for anything else."""
    try:
        value = json.loads(request.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("GET", "/me/account", "getAccount", _account),
    operation("GET", "/me/api/credentials", "findApiCredentials", _credentials, login="account"),
    operation("POST", "/me/api/credentials", "createApiCredential", _create_credential, login="account"),
    operation("GET", "/me/api/credentials/{id}", "getApiCredential", _credential, login="account"),
    operation("DELETE", "/me/api/credentials/{id}", "deleteApiCredential", _delete_credential, login="account"),
    operation("GET", "/me/billing/credit-usage", "getCreditUsage", _credit_usage),
    operation("GET", "/me/billing/plan-usage", "getBillingPlanUsage", _plan_usage),
    operation("GET", "/me/callerids", "getCallerIds", _caller_ids),
    operation("POST", "/me/callerids/{number}", "sendVerificationCodeToCallerId", _call_caller_id),
    operation("POST", "/me/callerids/{number}/verification-code", "verifyCallerId", _verify_caller_id),
)
"""All of these are in the second document."""
