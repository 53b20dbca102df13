# ruff: noqa: T201  # a script prints
"""The generated parts of cffs/docs/, and the man pages.

It owns which path uses which operation. It rewrites the documents in place; guard tests compare them with what the code
says today.
"""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import man_pages

from cffs.callfire.operations import OPERATIONS, Operation
from cffs.core.settings_options import OPTIONS
from cffs.tree.routes import picture

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "cffs/docs"

#: Operation -> the path or command that uses it.
USED_BY: dict[str, str] = {
    "Get List of Recordings for a Call": "`ls campaigns/{campaign}/{call}` where WAVs are shown; lookups there",
    "Get a single recording": "`campaigns/{campaign}/{call}/{file}.wav`, `recordings/{id}.wav`",
    "Get a Dynamic Recording": "`dynamic/{hash}/{year}/{month}/{campaign}/{filename}`",
    "Get a Dynamic Recording as MP3": "`dynamic/{hash}/{year}/{month}/{campaign}/{filename}`, ending in `.mp3`",
    "getCallRecordingByName": "lookup of `{name}.mp3` and `{name}.json` where calls cannot be listed",
    "getCallRecordingMp3ByName": "`campaigns/{campaign}/{call}/{name}.mp3` where there is no by-id form",
    "getAccount": "`me/account.json`; whether the login is good, at mount",
    "findApiCredentials": "`ls me/api/credentials`",
    "createApiCredential": "`mkdir me/api/credentials/NAME` (`--writable`)",
    "deleteApiCredential": "`rm me/api/credentials/{id}.json` (`--writable`)",
    "getApiCredential": "`me/api/credentials/{id}.json`",
    "getCreditUsage": "`me/billing/credit-usage.json`, `me/billing/credit-usage/{YYYY-MM}.json`, `…/{from}..{to}.json`",
    "getBillingPlanUsage": "`me/billing/plan-usage.json`",
    "getCallerIds": "`ls me/callerids`",
    "sendVerificationCodeToCallerId": "`mkdir me/callerids/NUMBER` (`--writable`)",
    "verifyCallerId": "`echo CODE > me/callerids/NUMBER/verification-code` (`--writable`)",
    "createMedia": "`cp song.mp3 media/` (`--writable`)",
    "getMediaDataByKey": "`media/public/{key}.{ext}`",
    "getMedia": "lookup of `media/{id}.{ext}`; `media/{id}.json`",
    "getMediaData": "`media/{id}.{ext}`, `media/by-name/{name}.{ext}`",
    "getMediaDataBinary": "`media/{id}`",
    "findCalls": "`ls campaigns/{campaign}`, `calls/`, `recordings/`: a thousand calls a request",
    "getCall": "lookup of an unlisted call",
    "getCallRecordings": "`ls` of a call whose recordings no listing embedded",
    "getCallRecording": "lookup of an unlisted `recordings/{id}.mp3` or `.json`; once a second while one is being made",
    "getCallRecordingMp3": "every MP3 of a recording",
    "findCallBroadcasts": "`ls campaigns`",
    "getCallBroadcast": "lookup of an unlisted campaign; `campaign.json`",
    "findMedia": "`ls media`",
}
#: How each parameter is used that is not part of the path; where one operation differs, under its name.
PARAMETERS: dict[str, str] = {
    "apikey": "the credential",
    "fields": "not sent, because the `.json` files show every field",
    "limit": "1000, or 100 where that is refused",
    "offset": "page by page",
    "intervalBegin": "the start of the interval; for calls, what is new since the last listing",
    "intervalEnd": "the end of the interval; not sent for calls",
    "body": "the `NAME`, or the `CODE`",
    "file": "the bytes, as they are spooled",
    "createMedia.name": "the file's name without its extension",
}


def operations_table() -> str:
    """Every operation of the two documents, then those of the public document that listings need."""
    lines = ["| operation | request | parameters | used by |", "|---|---|---|---|"]
    lines += [_row(operation) for operation in OPERATIONS]
    return "\n".join(lines) + "\n"


def _row(operation: Operation) -> str:
    by_use: dict[str, list[str]] = {}
    for parameter in operation.parameters:
        use = PARAMETERS.get(f"{operation.name}.{parameter}") or PARAMETERS.get(parameter) or "not sent"
        use = "part of the path" if f"{{{parameter}}}" in operation.path else use
        by_use.setdefault(use, []).append(f"`{parameter}`")
    uses = "; ".join(f"{', '.join(names)}: {use}" for use, names in by_use.items())
    request = f"{operation.api} `{operation.method} {operation.path}`"
    return f"| {operation.name} | {request} | {uses or '—'} | {USED_BY[operation.name]} |"


def options_list() -> str:
    """Every option and its help, a line each, as a help page shows them."""
    spelt = {option: f"{option.flag} {option.metavar}".rstrip() for option in OPTIONS}
    width = max(map(len, spelt.values()))
    return "".join(f"{text:<{width}}  {option.help}\n" for option, text in spelt.items())


def faults_table() -> str:
    """Every fault of the table in tests/faults, and what is promised for it."""
    rows = [f"| {name.replace('_', ' ')} | {promise} |" for name, promise in faults().items()]
    return "\n".join(["| fault | what happens |", "|---|---|", *rows]) + "\n"


def faults() -> dict[str, str]:
    """The table of tests/faults/rows.py."""
    return dict(runpy.run_path(str(ROOT / "tests/faults/rows.py"))["ROWS"])


#: Generated part -> the document that holds it, and what renders it.
PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "commands": ("operations.md", man_pages.commands_table),
    "tree": ("semantics.md", lambda: f"```\n{picture()}```\n"),
    "operations": ("operations.md", operations_table),
    "faults": ("architecture.md", faults_table),
    "options": ("options.md", lambda: f"```\n{options_list()}```\n"),
}


def rendered(name: str, text: str) -> str:
    """The text of a document with its part `name` rendered again. Raises ValueError where a marker is missing."""
    begin, end = f"<!-- {name}: made by scripts/documents -->\n", f"<!-- /{name} -->"
    start, stop = text.index(begin) + len(begin), text.index(end)
    return text[:start] + PARTS[name][1]() + text[stop:]


if __name__ == "__main__":
    for name, (file, _) in PARTS.items():
        document = DOCUMENTS / file
        document.write_text(rendered(name, document.read_text()))
        print(f"{document.name}: rendered: {name}", file=sys.stderr)
    for page, render in man_pages.PAGES.items():
        (DOCUMENTS / "man" / page).write_text(render())
        print(f"man/{page}: rendered", file=sys.stderr)
