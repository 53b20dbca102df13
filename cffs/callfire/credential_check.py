"""The credential check: one question to each API, and what the answer says of the credentials and of the address.

It owns the questions and the reading of their answers (`read_v1`, `read_v2`: pure). It must not know what a mount or a
command does with a verdict.

v2 has an operation of its own for it, `me/account`. v1 has none, so it is asked for the recordings of a call that need
not exist: whatever v1 says of that call, only a 401, or words about the key, say that the key is bad. An answer that
cannot be this service's (a web page, another JSON, no account where every account has one) tells a wrong base URL from
a bad password.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import trio

from cffs.callfire.transport import FirstAnswer, Transport
from cffs.core.api_v1 import parse_recording_list
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

#: What is asked of v1: any call of any campaign will do.
_V1_QUESTION: Final = ("files", "recording", "list", "1", "1")
_V2_QUESTION: Final = ("me", "account")
_ACCOUNT_QUESTION: Final = ("me", "api", "credentials")
#: Where each API lies at the service; a base URL that does not end so is the first thing to look at.
USUAL_PATHS: Final = {Api.V1: "/cloud/1", Api.V2: "/v2"}
#: What an account has (second document), and what nothing but an account has: `name` alone is in every JSON.
_ACCOUNT_TEXTS: Final = ("email", "firstName", "lastName")
_PAGE: Final = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)


class Proof(StrEnum):
    """A pair of credentials that one question can try."""

    V1 = "v1"
    V2 = "v2"
    ACCOUNT = "account"

    @property
    def api(self) -> Api:
        """The API that it opens."""
        return Api.V1 if self is Proof.V1 else Api.V2


class Outcome(StrEnum):
    """What a question came to. Only REFUSED and NOT_THE_SERVICE are certain to fail again."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_THE_SERVICE = "not the service"
    UNREACHABLE = "unreachable"
    """No connection: no network, no such host, a closed port, a certificate that is not accepted."""
    SILENT = "no answer"
    """Nothing in time, or a failure that passes (5xx, busy, a broken connection)."""
    DOUBTFUL = "doubtful"
    """A denial that this service may give, in the form in which any other would give it."""
    UNDECIDED = "undecided"
    """The service answered, and its answer says nothing about the credentials."""


#: After these the credentials, or the address, must change.
HOPELESS: Final = frozenset({Outcome.REFUSED, Outcome.NOT_THE_SERVICE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one question came to. `why` is one line for people, without a secret; it is empty for ACCEPTED."""

    proof: Proof
    outcome: Outcome
    why: str = ""
    seconds: float = 0.0

    @property
    def is_hopeless(self) -> bool:
        """True where asking again cannot end otherwise."""
        return self.outcome in HOPELESS


def given_proofs(settings: OriginSettings) -> list[Proof]:
    """Those that the settings hold."""
    credentials = settings.credentials
    held = {Proof.V1: credentials.has_v1, Proof.V2: credentials.has_v2, Proof.ACCOUNT: credentials.has_account}
    return [proof for proof in Proof if held[proof]]


async def check(
    transport: Transport, settings: OriginSettings, proofs: Sequence[Proof], *, limit_seconds: float
) -> list[Verdict]:
    """The verdict of each proof, in order, all asked side by side within `limit_seconds`. Always a checkpoint; raises
    nothing, and if cancelled nothing stays open."""
    found: dict[Proof, Verdict] = {}

    async def ask(proof: Proof) -> None:
        started = trio.current_time()
        verdict = Verdict(proof=proof, outcome=Outcome.SILENT, why=f"no answer within {limit_seconds:.0f} s")
        with trio.move_on_after(limit_seconds):
            verdict = await _asked(transport, settings, proof)
        found[proof] = replace(verdict, seconds=trio.current_time() - started)

    async with trio.open_nursery() as nursery:
        for proof in proofs:
            nursery.start_soon(ask, proof)
    return [found[proof] for proof in proofs]


async def _asked(transport: Transport, settings: OriginSettings, proof: Proof) -> Verdict:
    try:
        if proof is Proof.V1:
            accept = "application/xml, application/json;q=0.5"
            return read_v1(await transport.first_answer(Api.V1, _V1_QUESTION, accept=accept), url=settings.v1_url)
        if proof is Proof.V2:
            return read_v2(await transport.first_answer(Api.V2, _V2_QUESTION, own_endpoint=True), url=settings.v2_url)
        answer = await transport.first_answer(Api.V2, _ACCOUNT_QUESTION, query={"limit": "1"}, as_account=True)
        return read_account(answer, url=settings.v2_url)
    except OriginUnreachable as error:
        return Verdict(proof=proof, outcome=Outcome.UNREACHABLE, why=str(error))
    except MalformedAnswer:
        # no HTTP at all, or a redirect that leads out of the service
        return _foreign(proof, settings.v1_url if proof is Proof.V1 else settings.v2_url)
    except UsageError as error:
        return Verdict(proof=proof, outcome=Outcome.REFUSED, why=str(error))
    except CffsError as error:
        return Verdict(proof=proof, outcome=Outcome.SILENT, why=str(error))


def read_v2(answer: FirstAnswer, *, url: str) -> Verdict:
    """What an answer to `me/account` says of the login and of the base URL."""
    refusal = _refusal_of_v2(answer, proof=Proof.V2, url=url)
    if refusal is not None:
        return refusal
    return _accepted(Proof.V2) if _is_account(answer.body) else _foreign(Proof.V2, url)


def read_account(answer: FirstAnswer, *, url: str) -> Verdict:
    """What an answer to the list of API credentials says of the account's own login."""
    refusal = _refusal_of_v2(answer, proof=Proof.ACCOUNT, url=url)
    if refusal is not None:
        return refusal
    return _accepted(Proof.ACCOUNT) if "items" in _object(answer.body) else _foreign(Proof.ACCOUNT, url)


def _refusal_of_v2(answer: FirstAnswer, *, proof: Proof, url: str) -> Verdict | None:
    """None for a 2xx of the host that was asked."""
    if answer.is_foreign:
        return _foreign(proof, url)
    if isinstance(answer.error, OriginBusy):
        return Verdict(proof=proof, outcome=Outcome.SILENT, why=str(answer.error))
    if isinstance(answer.error, AccessRefused):
        return _refused(proof)
    if 200 <= answer.status <= 299:
        return None
    if answer.status >= 500 and answer.status != 501:
        return Verdict(proof=proof, outcome=Outcome.SILENT, why=str(answer.error))
    if answer.status < 400 or answer.status in (404, 405, 410, 501) or is_page(answer):
        return _foreign(proof, url)  # every account of this service has these operations
    return Verdict(proof=proof, outcome=Outcome.UNDECIDED, why=str(answer.error))


def read_v1(answer: FirstAnswer, *, url: str) -> Verdict:
    """What an answer to the list of a call's recordings says of the key and of the base URL."""
    proof = Proof.V1
    if answer.is_foreign:
        return _foreign(proof, url)
    if isinstance(answer.error, OriginBusy) or (answer.status >= 500 and answer.status != 501):
        return Verdict(proof=proof, outcome=Outcome.SILENT, why=str(answer.error))
    if answer.status == 401:
        return _refused(proof)
    is_usual = url.rstrip("/").endswith(USUAL_PATHS[Api.V1])
    if is_page(answer) and answer.status in (404, 410) and is_usual:
        # a web server that gives out v1's files has such pages for what it has not
        why = f"v1 at {url} answered {answer.status} with a web page; is the address right?"
        return Verdict(proof=proof, outcome=Outcome.DOUBTFUL, why=why)
    if is_page(answer) or 300 <= answer.status <= 399:
        return _foreign(proof, url)
    error = answer.error
    try:
        parse_recording_list(answer.body)
        if answer.status != 403:
            return _accepted(proof)  # also a denial: the key was good enough for one
    except (AccessRefused, ServerFailure, RemoteObjectMissing) as failure:
        error = failure  # in v1's own form, whatever the status
    except CffsError:
        pass  # in another form
    if isinstance(error, AccessRefused | ServerFailure) and (answer.status == 403 or error is not answer.error):
        text = answer.body.decode(errors="replace")
        return _refused(proof) if is_about_the_key(text) else _undecided(proof, str(error))
    if 200 <= answer.status <= 299 or not is_usual:
        return _foreign(proof, url)
    return _undecided(proof, str(error))  # a denial of that call in words that no document shows


def is_page(answer: FirstAnswer) -> bool:
    """Whether the answer is a web page, by its type or by how it begins."""
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


def _accepted(proof: Proof) -> Verdict:
    return Verdict(proof=proof, outcome=Outcome.ACCEPTED)


def _refused(proof: Proof) -> Verdict:
    what = {
        Proof.V1: "v1 refuses the key",
        Proof.V2: "v2 refuses the login",
        Proof.ACCOUNT: "v2 refuses the account login",
    }
    return Verdict(proof=proof, outcome=Outcome.REFUSED, why=what[proof])


def _undecided(proof: Proof, why: str) -> Verdict:
    return Verdict(proof=proof, outcome=Outcome.UNDECIDED, why=why)


def _foreign(proof: Proof, url: str) -> Verdict:
    path = USUAL_PATHS[proof.api]
    hint = "is the address right?" if url.rstrip("/").endswith(path) else f"is {path} missing?"
    why = f"{proof.api} at {url} does not look like the service; {hint}"
    return Verdict(proof=proof, outcome=Outcome.NOT_THE_SERVICE, why=why)
