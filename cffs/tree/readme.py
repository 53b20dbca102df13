"""README.txt in the root and in search/: what a newcomer needs, in fifteen lines.

It owns these texts. It must not know more of the tree than its names, and which API lists what.
"""

from cffs.catalog.capabilities import Family
from cffs.tree.contents import Content, Document
from cffs.tree.context import Context
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import FixedNode, Kind, Node
from cffs.tree.search_terms import FIELDS

NAME = "README.txt"
_ROOT = """\
The call recordings and media of an account. Nothing here can be changed unless it was mounted with --writable.

campaigns/   each campaign by its name: its recordings, and its calls/ with all that is known of each
calls/       every call, by month
by-date/     every recording by its day; by-number/ by the number of either party; by-label/ by its labels
recordings/  every recording by its id: {{id}}.mp3; {{id}}.wav and {{id}}.json open too
media/       the account's sounds and pictures, by id and by-name/
me/          the account itself, its usage and its verified numbers
dynamic/     recordings made during calls, once they were looked up or imported
search/      ls 'search/number=12135550100&after=2026-11-01' lists what meets all of it; search/README.txt says more

A recording is named {{day}}_{{time}}_{{in|out}}_{{number}}_{{length}}_{{id}}.mp3. Days and times are those of {zone}.
playlist.m3u8 opens in every folder of recordings: mpv campaigns/Winback/playlist.m3u8
Some seconds of a recording, which fetch nothing else: recordings/88@60-90.wav
Ids open everywhere, listed or not: campaigns/5, campaigns/5/7, calls/7, recordings/88.mp3. More: cffs help
"""
#: What is otherwise where listings show ids (`--names ids`).
_WITH_IDS = (
    (
        "each campaign by its name: its recordings, and its calls/ with all that is known of each",
        "each campaign by its id: the folders of its calls, with all that is known of each",
    ),
    ("every call, by month", "every call, by its id"),
    ("{{id}}.mp3; {{id}}.wav and {{id}}.json open too", "{{id}}.mp3 and {{id}}.json; {{id}}.wav opens too"),
    (
        "A recording is named {{day}}_{{time}}_{{in|out}}_{{number}}_{{length}}_{{id}}.mp3. Days and times are",
        "A recording is named {{id}}.mp3; in its call's folder it has the name of the service. Days are",
    ),
    ("campaigns/Winback/playlist.m3u8", "campaigns/5/playlist.m3u8"),
)
#: What v2 alone cannot open.
_NEEDS_V1 = (
    ("; {{id}}.wav opens too", ""),
    ("{{id}}.wav and {{id}}.json open too", "{{id}}.json opens too"),
    ("dynamic/     recordings made during calls, once they were looked up or imported\n", ""),
    ("Some seconds of a recording, which fetch nothing else: recordings/88@60-90.wav\n", ""),
)
#: Where the service lists no calls, folders are empty until something is opened.
_WHERE_LISTED = "Ids open everywhere, listed or not: campaigns/5, campaigns/5/7, calls/7, recordings/88.mp3."
_WHERE_UNLISTED = "The service lists no calls; what was opened by its id is listed: campaigns/5/7, recordings/88.mp3."
_OF_V1_ALONE = """\
The call recordings of an account, as far as its key for API v1 shows them. Nothing here can be changed.

That API cannot list campaigns or calls: paths open by their ids, and what was opened once is listed from then on.
With a login for API v2 (cffs login) everything is listed, by name, date and number.

campaigns/   campaigns/5/7 holds the recordings of call 7 of campaign 5, as WAV
recordings/  recordings/88.wav opens a recording by its id
dynamic/     recordings made during calls, by their address: dynamic/{hash}/{year}/{month}/{campaign}/{filename}

cffs catalog import FILE finds the addresses of recordings in any text (post-backs, exports, logs) and lists them here.
playlist.m3u8 opens in every folder of recordings: mpv campaigns/5/playlist.m3u8
Some seconds of a recording, which fetch nothing else: recordings/88@60-90.wav
More: cffs help
"""
_SEARCH = """\
The name of a folder here is a search; nothing is listed, and no search costs a request. All conditions must be met:
ls 'search/number=12135550100&after=2026-11-01&min-seconds=60'
mpv 'search/label=survey&after=2026-11-01/playlist.m3u8'

{fields}

A moment is a day, or 2026-11-01T14:30 (with Z: UTC). In a value %26 stands for &.
"""


def resolve(_context: Context, _parent: Node, _parts: Parts) -> Node:
    """The README.txt of the root."""
    return FixedNode(Kind.README)


def resolve_of_search(_context: Context, _parent: Node, _parts: Parts) -> Node:
    """The README.txt of search/."""
    return FixedNode(Kind.SEARCH_README)


def content(context: Context, _node: Node) -> Content:
    """What lies where, as far as this mount's credentials can show it."""
    if context.account.v2 is None:
        return Document(body=_OF_V1_ALONE.encode())
    text = _ROOT
    for named, by_id in _WITH_IDS if context.settings.lists_ids else ():
        text = text.replace(named, by_id)
    for has_v1, without_v1 in _NEEDS_V1 if context.account.v1 is None else ():
        text = text.replace(has_v1, without_v1)
    if context.account.capabilities.offers(Family.CALLS) is False:
        text = text.replace(_WHERE_LISTED, _WHERE_UNLISTED)
    return Document(body=text.format(zone=context.catalog.zone.key).encode())


def content_of_search(_context: Context, _node: Node) -> Content:
    """The fields that a search may have."""
    fields = "\n".join(f"{name + '=':<14}{about}" for name, about in FIELDS.items())
    return Document(body=_SEARCH.format(fields=fields).encode())
