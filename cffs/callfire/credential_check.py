"""The credential check: one question to each API, and the verdict on its answer.

v2 has an operation for it, `me/account`. v1 has none, so it is asked for the recordings of a call that need not exist:
whatever v1 says about that call, only a 401, or words about the key, mean that the key is bad. An answer that cannot be
this service's (a web page, other JSON, no account where every account has one) separates a wrong base URL from a bad
password. See cffs/docs/service.md#permissions.

It owns the questions and the reading of their answers (`read_v1`, `read_v2`, `read_account`: pure). It must not know
what a mount or a command does with a verdict.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import trio

from cffs.callfire.status_reader import UncheckedResponse
from cffs.callfire.transport import Transport
from cffs.callfire.v1 import LIST_ACCEPT, list_segments
from cffs.core.errors import (
    AccessRefused,
    CffsError,
    MalformedAnswer,
    OriginBusy,
    OriginUnreachable,
    RemoteObjectMissing,
    ServerFailure,
    UsageError,
)
from cffs.core.json_values import as_id, as_object, decode
from cffs.core.refusals import is_about_the_key
from cffs.core.settings import OriginSettings
from cffs.core.source import Api
from cffs.core.v1_parser import parse_recording_list

#: The campaign and the call that v1 is asked for; any id will do.
_ANY_ID: Final = 1
_V2_QUESTION: Final = ("me", "account")
_ACCOUNT_QUESTION: Final = ("me", "api", "credentials")
#: The path of each API at the service. A base URL with another end is the first thing to suspect.
USUAL_PATHS: Final = {Api.V1: "/cloud/1", Api.V2: "/v2"}
#: Texts that an account has (second document) and other JSON has not; `name` alone is everywhere.
_ACCOUNT_TEXTS: Final = ("email", "firstName", "lastName")
_PAGE: Final = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)


class Login(StrEnum):
    """The credentials that one question can try: v1's key, v2's login, or the account's own login."""

    V1 = "v1"
    V2 = "v2"
    ACCOUNT = "account"

    @property
    def api(self) -> Api:
        """The API that they are for."""
        return Api.V1 if self is Login.V1 else Api.V2


class Outcome(StrEnum):
    """The outcome of a question. Only REFUSED and NOT_THE_SERVICE are certain to fail again."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_THE_SERVICE = "not the service"
    UNREACHABLE = "unreachable"
    """No connection: no network, no such host, a closed port, or a certificate that is not accepted."""
    SILENT = "no answer"
    """No answer in time, or a passing failure (5xx, busy, a broken connection)."""
    DOUBTFUL = "doubtful"
    """A denial that this service may give, but in a form that any other server would use."""
    UNDECIDED = "undecided"
    """The service answered, but its answer says nothing about the credentials."""


#: After these, the credentials or the address must change.
HOPELESS: Final = frozenset({Outcome.REFUSED, Outcome.NOT_THE_SERVICE})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginVerdict:
    """The result of one question. `why` is one line for people, without a secret; empty for ACCEPTED."""

    login: Login
    outcome: Outcome
    why: str = ""
    seconds: float = 0.0

    @property
    def is_hopeless(self) -> bool:
        """True where asking again cannot end differently."""
        return self.outcome in HOPELESS


def given_logins(settings: OriginSettings) -> list[Login]:
    """The logins for which the settings have credentials."""
    credentials = settings.credentials
    held = {
        Login.V1: credentials.has_v1,
        Login.V2: credentials.has_v2,
        Login.ACCOUNT: credentials.has_account,
    }
    return [login for login in Login if held[login]]


async def check(
    transport: Transport, settings: OriginSettings, logins: Sequence[Login], *, limit_seconds: float
) -> list[LoginVerdict]:
    """The verdict on each login, in order, all asked concurrently within `limit_seconds`.

    Always a checkpoint; raises nothing, and if cancelled, nothing stays open.
    """
    found: dict[Login, LoginVerdict] = {}

    async def ask(login: Login) -> None:
        started = trio.current_time()
        verdict = LoginVerdict(login=login, outcome=Outcome.SILENT, why=f"no answer within {limit_seconds:.0f} s")
        with trio.move_on_after(limit_seconds):
            verdict = await _asked(transport, settings, login)
        found[login] = replace(verdict, seconds=trio.current_time() - started)

    async with trio.open_nursery() as nursery:
        for login in logins:
            nursery.start_soon(ask, login)
    return [found[login] for login in logins]


async def _asked(transport: Transport, settings: OriginSettings, login: Login) -> LoginVerdict:
    try:
        if login is Login.V1:
            answer = await transport.get_unchecked(Api.V1, list_segments(_ANY_ID, _ANY_ID), accept=LIST_ACCEPT)
            return read_v1(answer, url=settings.v1_url)
        if login is Login.V2:
            return read_v2(
                await transport.get_unchecked(Api.V2, _V2_QUESTION, proves_credentials=True), url=settings.v2_url
            )
        answer = await transport.get_unchecked(Api.V2, _ACCOUNT_QUESTION, query={"limit": "1"}, as_account=True)
        return read_account(answer, url=settings.v2_url)
    except OriginUnreachable as error:
        return LoginVerdict(login=login, outcome=Outcome.UNREACHABLE, why=str(error))
    except MalformedAnswer:
        # no HTTP at all, or a redirect away from the service
        return _foreign(login, settings.v1_url if login is Login.V1 else settings.v2_url)
    except UsageError as error:
        return LoginVerdict(login=login, outcome=Outcome.REFUSED, why=str(error))
    except CffsError as error:
        return LoginVerdict(login=login, outcome=Outcome.SILENT, why=str(error))


def read_v2(answer: UncheckedResponse, *, url: str) -> LoginVerdict:
    """The verdict of an answer to `me/account` on v2's login and base URL."""
    refusal = _refusal_of_v2(answer, login=Login.V2, url=url)
    if refusal is not None:
        return refusal
    return _accepted(Login.V2) if _is_account(answer.body) else _foreign(Login.V2, url)


def read_account(answer: UncheckedResponse, *, url: str) -> LoginVerdict:
    """The verdict of an answer to the list of API credentials on the account's own login."""
    refusal = _refusal_of_v2(answer, login=Login.ACCOUNT, url=url)
    if refusal is not None:
        return refusal
    return _accepted(Login.ACCOUNT) if "items" in _object(answer.body) else _foreign(Login.ACCOUNT, url)


def _refusal_of_v2(answer: UncheckedResponse, *, login: Login, url: str) -> LoginVerdict | None:
    """The verdict where the answer is no 2xx of the host that was asked; None where it is."""
    if answer.is_foreign:
        return _foreign(login, url)
    if isinstance(answer.error, OriginBusy):
        return LoginVerdict(login=login, outcome=Outcome.SILENT, why=str(answer.error))
    if isinstance(answer.error, AccessRefused):
        return _refused(login)
    if 200 <= answer.status <= 299:
        return None
    if answer.status >= 500 and answer.status != 501:
        return LoginVerdict(login=login, outcome=Outcome.SILENT, why=str(answer.error))
    if answer.status < 400 or answer.status in (404, 405, 410, 501) or is_page(answer):
        return _foreign(login, url)  # every account of this service has these operations
    return LoginVerdict(login=login, outcome=Outcome.UNDECIDED, why=str(answer.error))


def read_v1(answer: UncheckedResponse, *, url: str) -> LoginVerdict:
    """The verdict of an answer to the list of a call's recordings on v1's key and base URL."""
    login = Login.V1
    if answer.is_foreign:
        return _foreign(login, url)
    if isinstance(answer.error, OriginBusy) or (answer.status >= 500 and answer.status != 501):
        return LoginVerdict(login=login, outcome=Outcome.SILENT, why=str(answer.error))
    if answer.status == 401:
        return _refused(login)
    is_usual = url.rstrip("/").endswith(USUAL_PATHS[Api.V1])
    if is_page(answer) and answer.status in (404, 410) and is_usual:
        # a web server in front of v1's files has such pages for files that it does not have
        why = f"v1 at {url} answered {answer.status} with a web page; is the address right?"
        return LoginVerdict(login=login, outcome=Outcome.DOUBTFUL, why=why)
    if is_page(answer) or 300 <= answer.status <= 399:
        return _foreign(login, url)
    error = answer.error
    try:
        parse_recording_list(answer.body)
        if answer.status != 403:
            return _accepted(login)  # even a denial: the key was good enough to get one
    except (AccessRefused, ServerFailure, RemoteObjectMissing) as failure:
        error = failure  # in v1's own form, whatever the status is
    except CffsError:
        pass  # in another form
    if isinstance(error, AccessRefused | ServerFailure) and (answer.status == 403 or error is not answer.error):
        text = answer.body.decode(errors="replace")
        return _refused(login) if is_about_the_key(text) else _undecided(login, str(error))
    if 200 <= answer.status <= 299 or not is_usual:
        return _foreign(login, url)
    return _undecided(login, str(error))  # a denial of the call in words that no document shows


def is_page(answer: UncheckedResponse) -> bool:
    """Whether the answer is a web page, by its type or by its beginning."""
    return "html" in answer.content_type or _PAGE.match(answer.body.removeprefix(b"\xef\xbb\xbf")) is not None


def _is_account(body: bytes) -> bool:
    document = _object(body)
    if as_id(document.get("id")) is not None or isinstance(document.get("permissions"), list):
        return True
    return any(isinstance(document.get(name), str) for name in _ACCOUNT_TEXTS)


def _object(body: bytes) -> Mapping[str, object]:
    try:
        return as_object(decode(body, what="account")) or {}
    except MalformedAnswer:
        return {}


def _accepted(login: Login) -> LoginVerdict:
    return LoginVerdict(login=login, outcome=Outcome.ACCEPTED)


def _refused(login: Login) -> LoginVerdict:
    reasons = {
        Login.V1: "v1 refuses the key",
        Login.V2: "v2 refuses the login",
        Login.ACCOUNT: "v2 refuses the account login",
    }
    return LoginVerdict(login=login, outcome=Outcome.REFUSED, why=reasons[login])


def _undecided(login: Login, why: str) -> LoginVerdict:
    return LoginVerdict(login=login, outcome=Outcome.UNDECIDED, why=why)


def _foreign(login: Login, url: str) -> LoginVerdict:
    path = USUAL_PATHS[login.api]
    hint = "is the address right?" if url.rstrip("/").endswith(path) else f"is {path} missing?"
    why = f"{login.api} at {url} does not look like the service; {hint}"
    return LoginVerdict(login=login, outcome=Outcome.NOT_THE_SERVICE, why=why)
