"""The table of routes: which names a folder of each kind can hold. Pure.

It owns the patterns of names, and the picture of the tree in the documents. It must not know whether a name exists: a
match only means that it is well formed.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from cffs.core.ids import parse_id
from cffs.notes.keys import EXTENSIONS as NOTE_EXTENSIONS
from cffs.notes.keys import TEMPORARY_NAME
from cffs.tree.nodes import Kind

#: What a placeholder of a pattern matches (`cffs/docs/semantics.md#the-tree`).
_PLACEHOLDERS = {
    "id": r"[1-9][0-9]{0,18}",
    "campaign": r"[1-9][0-9]{0,18}",
    "call": r"[1-9][0-9]{0,18}",
    "file": r"[1-9][0-9]{0,18}",
    "number": r"[0-9+*#]{1,32}",
    "hash": r"[0-9A-Za-z_-]{8,128}",
    "year": r"[0-9]{4}",
    "month": r"0?[1-9]|1[0-2]",
    "campaign digits": r"[0-9]{1,19}",  # part of an address, kept as spelt: no id to compare with others
    "filename": r".+",
    "name": r".+",
    "NAME": r"(?!.*\.json\Z).+",  # of a credential: those listed are called {id}.json
    "bare name": r"(?!.*\.(?!json\Z)[0-9a-z]{1,8}\Z).+",  # none that {name}.{ext} takes
    "key": r"[0-9A-Za-z_.~-]{1,128}",
    "new name": r".+",
    "ext": r"(?!json\Z)[0-9a-z]{1,8}",  # {id}.json is its metadata
    "YYYY-MM": r"[0-9]{4}-(?:0[1-9]|1[0-2])",
    "from": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "to": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "start": r"[0-9]{1,6}(?:\.[0-9]{1,6})?",
    "end": r"[0-9]{1,6}(?:\.[0-9]{1,6})?",
    "YYYY": r"[0-9]{4}",
    "MM": r"[0-9]{2}",
    "DD": r"[0-9]{2}",
    "any number": r".+",
    "label": r".+",
    "campaign name": r"(?![0-9]+\Z|\.\.?\Z).+",  # what looks like an id is one
    "call name": r".+[_~][1-9][0-9]{0,18}",
    "field=value&…": r".+",
    "stem": r"(?!(?:campaign|call)\.json\Z).+",
    "note": "|".join(NOTE_EXTENSIONS),
    "note but json": "|".join(extension for extension in NOTE_EXTENSIONS if extension != "json"),
    "temporary name": TEMPORARY_NAME,
    "own": r"status\.json|metrics|inflight\.json|config\.toml",
}
#: Placeholders whose value must be an id of the service (int64, canonical).
_IDS = frozenset({"id", "campaign", "call", "file"})


@dataclass(frozen=True)
class Route:
    """One route: in a folder of kind `parent`, names of the form `pattern` are nodes of `kind`.

    `is_listed` is False for what opens by lookup only. `asks` is False where only what this mount did itself can have
    such names, so that the service is never asked for them. `about` is one line for people.
    """

    parent: Kind
    pattern: str
    kind: Kind
    is_folder: bool
    about: str
    is_listed: bool = True
    asks: bool = True

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        expression = ""
        for literal, placeholder in re.findall(r"([^{]+)|\{([^}]+)\}", self.pattern):
            if literal:
                expression += re.escape(literal)
            else:
                group = re.sub(r"\W", "_", placeholder)
                expression += f"(?P<{group}>{_PLACEHOLDERS[placeholder]})"
        return re.compile(expression, re.ASCII | re.DOTALL)

    def match(self, name: str) -> dict[str, str] | None:
        """The parts of `name`, or None where it is not of this form."""
        found = self._expression.fullmatch(name)
        if found is None:
            return None
        parts = found.groupdict()
        if any(parse_id(value) is None for key, value in parts.items() if key in _IDS):
            return None
        return parts


def _folder(parent: Kind, pattern: str, kind: Kind, about: str, *, is_listed: bool = True) -> Route:
    return Route(parent, pattern, kind, True, about, is_listed)


def _file(parent: Kind, pattern: str, kind: Kind, about: str, *, is_listed: bool = True) -> Route:
    return Route(parent, pattern, kind, False, about, is_listed)


def _playlist(parent: Kind) -> Route:
    return _file(parent, "playlist.m3u8", Kind.PLAYLIST, "what the folder holds, for players", is_listed=False)


def _manifest(parent: Kind) -> Route:
    return _file(parent, "MANIFEST.sha256", Kind.MANIFEST, "digests of what is wholly cached", is_listed=False)


def _indexes(parent: Kind) -> tuple[Route, ...]:
    is_listed = parent is Kind.SEARCH
    return (
        _file(parent, "index.jsonl", Kind.INDEX_JSONL, "a line a recording, for programs", is_listed=is_listed),
        _file(parent, "index.csv", Kind.INDEX_CSV, "the same for spreadsheets", is_listed=is_listed),
    )


def _notes(parent: Kind, *, has_metadata: bool = False) -> tuple[Route, ...]:
    """What `--notes` lets be written beside recordings. Where `has_metadata`, `.json` is the service's."""
    return (
        _file(parent, "{stem}.{note but json}" if has_metadata else "{stem}.{note}", Kind.NOTE, "a note (--notes)"),
        Route(parent, "{temporary name}", Kind.TEMPORARY_NOTE, False, "one that is being written", False, False),
    )


def _call_files(parent: Kind) -> tuple[Route, ...]:
    """What a call's folder holds, wherever it stands."""
    return (
        _file(parent, "call.json", Kind.CALL_JSON, "what the service knows of the call"),
        _file(parent, "{file}.wav", Kind.WAV, "v1: list of recordings for a call, single recording"),
        _file(parent, "{name}.mp3", Kind.MP3, "v2: recording by name"),
        _file(parent, "{name}.json", Kind.RECORDING_JSON, "v2: its metadata"),
        _file(parent, "{name}.wav", Kind.WAV, "the WAV form of a recording known by name", is_listed=False),
        _playlist(parent),
        _manifest(parent),
        *_indexes(parent),
        *_notes(parent, has_metadata=True),
    )


def _view_files(parent: Kind) -> tuple[Route, ...]:
    """What a view's folder of audio holds."""
    return (
        _file(parent, "{name}.mp3", Kind.MP3, "the same file as under campaigns/"),
        _file(parent, "{name}.wav", Kind.WAV, "the same"),
        _playlist(parent),
        _manifest(parent),
        *_indexes(parent),
        *_notes(parent),
    )


ROUTES: tuple[Route, ...] = (
    _file(Kind.ROOT, "README.txt", Kind.README, "what lies where, in fifteen lines"),
    _folder(Kind.ROOT, "campaigns", Kind.CAMPAIGNS, "v2 broadcasts, plus every campaign looked up"),
    _folder(Kind.CAMPAIGNS, "{campaign}", Kind.CAMPAIGN, "the same by its id", is_listed=False),
    _folder(Kind.CAMPAIGNS, "{campaign name}", Kind.CAMPAIGN, "one campaign; by its id where it has no name"),
    _file(Kind.CAMPAIGN, "campaign.json", Kind.CAMPAIGN_JSON, "what the service knows of it"),
    _file(Kind.CAMPAIGN, "playlist.m3u8", Kind.PLAYLIST, "its recordings, newest last"),
    _manifest(Kind.CAMPAIGN),
    *_indexes(Kind.CAMPAIGN),
    _file(Kind.CAMPAIGN, "{name}.mp3", Kind.MP3, "its recordings, as under by-date/"),
    _file(Kind.CAMPAIGN, "{name}.wav", Kind.WAV, "the same"),
    *_notes(Kind.CAMPAIGN),
    _folder(Kind.CAMPAIGN, "calls", Kind.CAMPAIGN_CALLS, "its calls"),
    _folder(Kind.CAMPAIGN, "{call}", Kind.CALL, "one of its calls by its id", is_listed=False),
    _folder(Kind.CAMPAIGN_CALLS, "{call}", Kind.CALL, "the same by its id", is_listed=False),
    _folder(Kind.CAMPAIGN_CALLS, "{call name}", Kind.CALL, "one call, as under calls/"),
    *_call_files(Kind.CALL),
    _folder(Kind.ROOT, "calls", Kind.CALLS, "every call known, by month"),
    _folder(Kind.CALLS, "{call}", Kind.LONE_CALL, "any call by its id", is_listed=False),
    _folder(Kind.CALLS, "{YYYY-MM}", Kind.CALL_MONTH, "a month that has any"),
    _folder(Kind.CALLS, "undated", Kind.CALL_MONTH, "calls whose time is not known"),
    _folder(Kind.CALL_MONTH, "{call}", Kind.LONE_CALL, "the same by its id", is_listed=False),
    _folder(Kind.CALL_MONTH, "{call name}", Kind.LONE_CALL, "one call: {YYYY-MM-DD}_{HH.MM.SS}_{in|out}_…_{id}"),
    *_call_files(Kind.LONE_CALL),
    _folder(Kind.ROOT, "recordings", Kind.RECORDINGS, "one recording by its id; lists those known"),
    _file(Kind.RECORDINGS, "{id}.wav", Kind.WAV, "v1: single recording"),
    _file(Kind.RECORDINGS, "{id}.mp3", Kind.MP3, "v2: recording by id"),
    _file(Kind.RECORDINGS, "{id}.json", Kind.RECORDING_JSON, "v2: its metadata", is_listed=False),
    _file(Kind.RECORDINGS, "{id}@{start}-{end}.wav", Kind.MOMENT, "some seconds of its WAV", is_listed=False),
    _playlist(Kind.RECORDINGS),
    _manifest(Kind.RECORDINGS),
    *_indexes(Kind.RECORDINGS),
    *_notes(Kind.RECORDINGS, has_metadata=True),
    _folder(Kind.ROOT, "dynamic", Kind.DYNAMIC, "recordings made during calls; nothing lists them but use"),
    _folder(Kind.DYNAMIC, "{hash}", Kind.DYNAMIC_HASH, "hash of the sound file"),
    _folder(Kind.DYNAMIC_HASH, "{year}", Kind.DYNAMIC_YEAR, "year it was made"),
    _folder(Kind.DYNAMIC_YEAR, "{month}", Kind.DYNAMIC_MONTH, "month, with or without a zero"),
    _folder(Kind.DYNAMIC_MONTH, "{campaign digits}", Kind.DYNAMIC_CAMPAIGN, "campaign"),
    _playlist(Kind.DYNAMIC_CAMPAIGN),
    _manifest(Kind.DYNAMIC_CAMPAIGN),
    _file(Kind.DYNAMIC_CAMPAIGN, "{filename}", Kind.DYNAMIC_FILE, "v1: dynamic recording; .mp3 gives its MP3 form"),
    _folder(Kind.ROOT, "media", Kind.MEDIA, "v2 media of the account"),
    Route(Kind.MEDIA, "{new name}", Kind.UPLOAD, False, "what is written here (--writable)", False, False),
    _folder(Kind.MEDIA, "by-name", Kind.MEDIA_BY_NAME, "the same files by their names"),
    _folder(Kind.MEDIA, "public", Kind.MEDIA_PUBLIC, "media by the key of its public URL"),
    _file(Kind.MEDIA, "{id}.{ext}", Kind.MEDIA_FILE, "v2: media by id and type"),
    _file(Kind.MEDIA, "{id}.json", Kind.MEDIA_JSON, "v2: its metadata"),
    _file(Kind.MEDIA, "{id}", Kind.MEDIA_RAW, "v2: the raw file", is_listed=False),
    _file(Kind.MEDIA_BY_NAME, "{name}.{ext}", Kind.MEDIA_FILE, "as under media/"),
    _file(Kind.MEDIA_BY_NAME, "{bare name}", Kind.MEDIA_RAW, "one whose type is not known"),
    _file(Kind.MEDIA_PUBLIC, "{key}.{ext}", Kind.MEDIA_PUBLIC_FILE, "v2: public media"),
    _folder(Kind.ROOT, "me", Kind.ME, "the account itself"),
    _file(Kind.ME, "account.json", Kind.ACCOUNT_JSON, "v2: account details"),
    _folder(Kind.ME, "billing", Kind.BILLING, "what was used"),
    _file(Kind.BILLING, "plan-usage.json", Kind.PLAN_USAGE_JSON, "v2: plan usage of this month"),
    _file(Kind.BILLING, "credit-usage.json", Kind.CREDIT_USAGE_JSON, "v2: credit usage of all time"),
    _folder(Kind.BILLING, "credit-usage", Kind.CREDIT_USAGE, "credit usage of an interval, by lookup"),
    _file(Kind.CREDIT_USAGE, "{YYYY-MM}.json", Kind.CREDIT_USAGE_INTERVAL_JSON, "v2: of a month", is_listed=False),
    _file(Kind.CREDIT_USAGE, "{from}..{to}.json", Kind.CREDIT_USAGE_INTERVAL_JSON, "v2: of some days", is_listed=False),
    _folder(Kind.ME, "callerids", Kind.CALLER_IDS, "v2: verified numbers"),
    _folder(Kind.CALLER_IDS, "{number}", Kind.CALLER_ID, "one of them, or one that waits; mkdir has it rung"),
    _file(Kind.CALLER_ID, "verification-code", Kind.VERIFICATION_CODE, "where a waiting number's code is written"),
    _folder(Kind.ME, "api", Kind.ME_API, "needs the account login; absent without it"),
    _folder(Kind.ME_API, "credentials", Kind.CREDENTIALS, "v2: API credentials"),
    _file(Kind.CREDENTIALS, "{id}.json", Kind.CREDENTIAL_JSON, "v2: one of them, its password masked; rm deletes"),
    _folder(Kind.CREDENTIALS, "{NAME}", Kind.CREATED_CREDENTIAL, "mkdir creates one"),
    _file(Kind.CREATED_CREDENTIAL, "credential.json", Kind.CREATED_CREDENTIAL_JSON, "with its password, until rmdir"),
    _folder(Kind.ROOT, "by-date", Kind.BY_DATE, "recordings by the day they were made (--timezone)"),
    _folder(Kind.BY_DATE, "{YYYY}", Kind.YEAR, "a year that has any"),
    _folder(Kind.YEAR, "{MM}", Kind.MONTH, "a month"),
    _folder(Kind.MONTH, "{DD}", Kind.DAY, "a day: {YYYY-MM-DD}_{HH.MM.SS}_{in|out}_{number}_{M}m{SS}s_{id}.mp3"),
    *_view_files(Kind.DAY),
    _folder(Kind.ROOT, "by-number", Kind.BY_NUMBER, "recordings by the number of either party"),
    _folder(Kind.BY_NUMBER, "{any number}", Kind.ONE_NUMBER, "as the service spells it"),
    *_view_files(Kind.ONE_NUMBER),
    _folder(Kind.ROOT, "by-label", Kind.BY_LABEL, "recordings by the labels of their calls"),
    _folder(Kind.BY_LABEL, "{label}", Kind.ONE_LABEL, "one label"),
    *_view_files(Kind.ONE_LABEL),
    _folder(Kind.ROOT, "search", Kind.SEARCHES, "recordings that meet every condition", is_listed=False),
    _file(Kind.SEARCHES, "README.txt", Kind.SEARCH_README, "the fields of a search"),
    _folder(
        Kind.SEARCHES, "{field=value&…}", Kind.SEARCH, "number, from, to, after, before, label, …", is_listed=False
    ),
    *_view_files(Kind.SEARCH),
    _folder(Kind.ROOT, ".cffs", Kind.OWN, "the mount's own files", is_listed=False),
    _file(Kind.OWN, "{own}", Kind.OWN_FILE, "status.json, metrics, inflight.json, config.toml"),
)

_BY_PARENT: dict[Kind, tuple[Route, ...]] = {
    kind: tuple(route for route in ROUTES if route.parent is kind) for kind in Kind
}
#: The kinds that are folders; every other kind is a file.
FOLDERS = frozenset({Kind.ROOT, Kind.UNPROVEN_FOLDER, *(route.kind for route in ROUTES if route.is_folder)})


def routes_of(parent: Kind) -> tuple[Route, ...]:
    """The routes of a folder, in the order in which a name is tried."""
    return _BY_PARENT[parent]


def picture() -> str:
    """The tree as cffs/docs/semantics.md shows it, a line for each route. What a folder holds is shown once, where it
    is listed first."""
    lines: list[str] = ["/"]
    listed = {route.kind for route in ROUTES if route.is_listed}
    shown_once: set[Kind] = set()

    def walk(parent: Kind, indent: str) -> None:
        shown = [route for route in routes_of(parent) if route.kind is not Kind.TEMPORARY_NOTE]
        for route in shown:
            last = route is shown[-1]
            name = route.pattern + ("/" if route.is_folder else "")
            start = f"{indent}{'└── ' if last else '├── '}{name}"
            about = route.about if route.is_listed or route.kind is Kind.UPLOAD else f"{route.about} (by lookup)"
            lines.append(f"{start:<40} {about}".rstrip())
            is_first = route.kind not in shown_once and (route.is_listed or route.kind not in listed)
            if route.is_folder and is_first:
                shown_once.add(route.kind)
                walk(route.kind, indent + ("    " if last else "│   "))

    walk(Kind.ROOT, "")
    return "\n".join(lines) + "\n"
