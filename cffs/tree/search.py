"""search/{field=value&…}/: the recordings that meet every condition.

It owns how conditions become SQL. It must not know how a condition is spelt (`tree/search_terms`), nor how files are
named (`tree/view_entries`). A search exists once it is looked up, is never listed, and never costs a request.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cffs.catalog.view_index import LABELS, NUMBERS
from cffs.catalog.views import Condition, ViewRow, Views
from cffs.core.errors import NotInTree
from cffs.core.one_line import printable_line
from cffs.tree import readme
from cffs.tree.contents import Entry
from cffs.tree.context import Context, fixed, past
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import FixedNode, Kind, Node, SearchNode
from cffs.tree.search_terms import BadSearch, Term, parse_terms
from cffs.tree.size_hints import Form
from cffs.tree.view_entries import (
    as_listed,
    entries_after,
    entries_of,
    first_offset,
    last_offset,
    resolver,
    seq_done,
    zone_of,
)

log = logging.getLogger(__name__)

#: A label that no call has, or a number that no party has, has no folder; no row has this number.
_NO_FOLDER = 0
#: A reason may name every field there is.
_LONGEST_REASON = 400


@dataclass(slots=True)
class _Question:
    conditions: list[Condition] = field(default_factory=list)
    folders: list[int] = field(default_factory=list)


def resolve_search(context: Context, _parent: Node, parts: Parts) -> Node:
    """A name that is a search. Any other is missing, with a line in the log that says why."""
    (name,) = parts.values()
    try:
        parse_terms(name, zone=zone_of(context))
    except BadSearch as problem:
        why = printable_line(str(problem), max_characters=_LONGEST_REASON)
        log.warning("no search name=%s reason=%s", printable_line(name), why)
        context.search_note.text = f"{printable_line(name)}: {why}"
        raise NotInTree("not a search") from problem
    context.search_note.text = ""
    return SearchNode(name)


def searches(_context: Context, _node: Node, after: int) -> list[Entry]:
    """Searches are not listed; the file that says how to spell them is."""
    return past(fixed((readme.NAME, FixedNode(Kind.SEARCH_README))), after)


def files(context: Context, node: SearchNode, after: int) -> list[Entry]:
    """What the search finds, in the order in which it became known."""
    find = matching(context, node)
    return entries_after(context, after, lambda at: as_listed(find(seq_done(at), context.catalog.views)), first_offset)


async def files_in_thread(context: Context, node: SearchNode, after: int) -> list[Entry]:
    """What `files` returns, from a thread, since rare finds take a look at many rows. Always a checkpoint."""
    found, at = matching(context, node), after
    while rows := as_listed(await context.catalog.ask_in_thread(partial(found, seq_done(at)))):
        if entries := past(entries_of(context, rows, first_offset), after):
            return entries
        at = last_offset(rows, first_offset)
    return []


def matching(context: Context, node: SearchNode) -> Callable[[int, Views], list[ViewRow]]:
    """The function that finds the next rows past a sequence number, in the views it is given."""
    asked = _question(context, node)

    def find(after_seq: int, views: Views) -> list[ViewRow]:
        return views.matching(asked.conditions, folders=asked.folders, after_seq=after_seq)

    return find


def _is_found(context: Context, node: SearchNode, row: ViewRow) -> bool:
    asked = _question(context, node)
    return context.catalog.views.meets(row.recording.id, asked.conditions, folders=asked.folders)


resolve_mp3 = resolver(Form.MP3, _is_found)
resolve_wav = resolver(Form.WAV, _is_found)


def _question(context: Context, node: SearchNode) -> _Question:
    asked = _Question()
    for term in parse_terms(node.name, zone=zone_of(context)):
        _ASKED[term.field](context, term, asked)
    return asked


def _folder(view: str) -> Callable[[Context, Term, _Question], None]:
    def ask(context: Context, term: Term, asked: _Question) -> None:
        row = context.catalog.views.folder_of(view, str(term.value))
        asked.folders.append(row.seq if row is not None else _NO_FOLDER)

    return ask


def _party(*columns: str) -> Callable[[Context, Term, _Question], None]:
    def ask(context: Context, term: Term, asked: _Question) -> None:
        _folder(NUMBERS)(context, term, asked)  # the index that leads there
        clause = " OR ".join(f"{column} = ?" for column in columns)
        asked.conditions.append(Condition(f"({clause})", (term.value,) * len(columns)))

    return ask


def _where(clause: str) -> Callable[[Context, Term, _Question], None]:
    def ask(_context: Context, term: Term, asked: _Question) -> None:
        asked.conditions.append(Condition(clause, (term.value,)))

    return ask


def _campaign(_context: Context, term: Term, asked: _Question) -> None:
    if isinstance(term.value, int):
        asked.conditions.append(Condition("+r.campaign_id = ?", (term.value,)))
        return
    name = json.dumps(term.value)
    asked.conditions.append(Condition("+r.campaign_id IN (SELECT id FROM campaigns WHERE name = ?)", (name,)))


#: `+` keeps SQLite from an index that would not return the rows in the order of their offsets.
_ASKED: dict[str, Callable[[Context, Term, _Question], None]] = {
    "number": _folder(NUMBERS),
    "from": _party("c.from_number"),
    "to": _party("c.to_number", "r.to_number"),
    "after": _where("+r.created_ms >= ?"),
    "before": _where("+r.created_ms < ?"),
    "label": _folder(LABELS),
    "campaign": _campaign,
    "min-seconds": _where("r.seconds >= ?"),
    "state": _where("r.state = ?"),
}
