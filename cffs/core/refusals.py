"""What the words of a refusal are about: a rate limit, the key, or the object.

It owns the words. It must not know statuses: the service reports all three with 400, 403 and, in API v1, with 200 (see
cffs/docs/service.md#refusals).
"""

import re
from urllib.parse import unquote

#: Five SDKs name "Rate Limit Reached" among the answers of the 4xx block: see cffs/docs/service.md#rate-limits.
_RATE_LIMIT = re.compile(
    r"\brate[\s_-]{0,3}limit|\btoo[\s_-]{1,3}many[\s_-]{1,3}requests\b|\bthrottl"
    r"|\brequests?[\s_-]{1,3}(?:rate[\s_-]{1,3})?limit\b|\brequests per (?:second|minute|hour)\b",
    re.IGNORECASE,
)
#: A refusal that names the object that was asked for, or a right to it, says nothing about the key.
_ABOUT_THE_CALL = re.compile(r"\b(?:campaigns?|broadcasts?|calls?|permissions?|permitted|privileges?)\b", re.IGNORECASE)
_ABOUT_THE_KEY = re.compile(
    r"\b(?:(?:api[ _-]?)?keys?|apikeys?|credentials?|log[ -]?ins?|passwords?|authenticat\w*|unauthenticated"
    r"|unauthori[sz]ed|not authori[sz]ed)\b",
    re.IGNORECASE,
)
#: A refusal of access, to the account or to one object.
_ABOUT_ACCESS = re.compile(
    r"\b(?:authori[sz]\w*|permissions?|permitted|forbidden|access (?:is )?denied|not allowed)\b", re.IGNORECASE
)


def is_about_rate_limit(text: str, *, path: str = "") -> bool:
    """Whether a refusal is for a rate limit, so that the object exists and may be asked for again later.

    The names in `path`, which is percent-encoded, do not count: a refusal may repeat the name that was asked for.
    """
    for segment in path.split("/"):
        name = unquote(segment)
        text = text.replace(name, "") if name else text
        stem = name.rpartition(".")[0]
        text = text.replace(stem, "") if stem else text
    return _RATE_LIMIT.search(text) is not None


def is_about_the_key(text: str) -> bool:
    """Whether a refusal is about the credentials, and not about the object that was asked for."""
    return _ABOUT_THE_KEY.search(text) is not None and _ABOUT_THE_CALL.search(text) is None


def is_about_access(text: str) -> bool:
    """Whether a refusal denies access, to this key at all or to this object."""
    return is_about_the_key(text) or _ABOUT_ACCESS.search(text) is not None
