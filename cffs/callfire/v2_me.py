"""API v2, the account: itself, its billing, its API credentials, its caller ids.

It must not know who may see a password or when an act is wanted. Credentials are asked with the account's own login.
All operations are of the second document, named in quotes; every method is a checkpoint and raises any CffsError of the
service's side. Acts are sent at most once: after ActUncertain, or when cancelled, they may have happened, after any
other error they have not.
"""

from collections.abc import Mapping

from cffs.callfire.v2_base import V2Base, answer_to, query_of
from cffs.core.api_v2 import parse_boolean, parse_caller_ids, parse_document, parse_identified, require_id
from cffs.core.json_values import as_object, encode
from cffs.core.source import Api
from cffs.core.values import Page


class V2Me(V2Base):
    """The operations below /me."""

    async def get_account(self, *, fields: str | None = None) -> Mapping[str, object]:
        """The account ("getAccount"). Its refusal means that the credentials are bad."""
        return await self._document(("me", "account"), query=query_of(fields=fields), own_endpoint=True)

    async def get_plan_usage(self) -> Mapping[str, object]:
        """The plan's usage of the current month ("getBillingPlanUsage")."""
        return await self._document(("me", "billing", "plan-usage"), query={})

    async def get_credit_usage(
        self, interval_begin_ms: int | None = None, interval_end_ms: int | None = None
    ) -> Mapping[str, object]:
        """The credits used in an interval, of all time without one ("getCreditUsage")."""
        query = query_of(intervalBegin=interval_begin_ms, intervalEnd=interval_end_ms)
        return await self._document(("me", "billing", "credit-usage"), query=query)

    async def get_caller_ids(self) -> tuple[str, ...]:
        """The verified numbers ("getCallerIds")."""
        answer = await self._transport.get(Api.V2, ("me", "callerids"))
        return parse_caller_ids(answer.body)

    async def send_verification_code(self, number: str) -> None:
        """Have the service call `number` and speak a code ("sendVerificationCodeToCallerId"). Places a phone call."""
        await self._transport.send("POST", Api.V2, ("me", "callerids", number))

    async def verify_caller_id(self, number: str, code: str) -> bool:
        """Whether `code` was the one spoken ("verifyCallerId"); ActRefused where the service will not even compare."""
        segments = ("me", "callerids", number, "verification-code")
        answer = await self._transport.send("POST", Api.V2, segments, content=encode({"verificationCode": code}))
        with answer_to("the verification"):
            return parse_boolean(answer.body)

    async def find_credentials(
        self, *, limit: int, offset: int, name: str | None = None, fields: str | None = None
    ) -> Page[Mapping[str, object]]:
        """A page of API credentials ("findApiCredentials"); passwords come masked."""
        query = query_of(fields=fields, limit=limit, offset=offset, name=name)
        return await self._page(("me", "api", "credentials"), _credential, query=query, as_account=True)

    async def get_credential(self, credential_id: int, *, fields: str | None = None) -> Mapping[str, object]:
        """One API credential ("getApiCredential"); MalformedAnswer for another id than asked."""
        segments = ("me", "api", "credentials", str(credential_id))
        document = await self._document(segments, query=query_of(fields=fields), as_account=True)
        require_id(parse_identified(document, what="credential")[0], credential_id, what="credential")
        return document

    async def create_credential(self, name: str) -> Mapping[str, object]:
        """A new API credential ("createApiCredential"): the only answer that ever holds its password in clear."""
        answer = await self._transport.send(
            "POST", Api.V2, ("me", "api", "credentials"), content=encode({"name": name}), as_account=True
        )
        with answer_to("the creation of a credential"):
            document = parse_document(answer.body, what="created credential")
            parse_identified(document, what="created credential")
        return document

    async def delete_credential(self, credential_id: int) -> None:
        """Delete an API credential ("deleteApiCredential")."""
        segments = ("me", "api", "credentials", str(credential_id))
        await self._transport.send("DELETE", Api.V2, segments, as_account=True)


def _credential(value: object) -> Mapping[str, object]:
    parse_identified(value, what="credential")
    return as_object(value) or {}
