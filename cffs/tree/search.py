"""search/{field=value&…}/: the recordings that meet every condition.

It owns how conditions become SQL. It must not know how a condition is spelt (`tree/search_terms`), nor how files are
named (`tree/view_entries`). A search exists once it is looked up, is never listed, and never costs a request.
"""

import heapq
import json
import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b

from cffs.catalog.rows import ListedRecording
from cffs.catalog.view_index import LABELS, NUMBERS
from cffs.catalog.views import PAGE_ROWS, Condition, ViewRow, Views
from cffs.core.errors import NotInTree
from cffs.core.one_line import printable_line
from cffs.notes.words import parse_words
from cffs.tree import readme, views
from cffs.tree.contents import Entry
from cffs.tree.context import Context, fixed, past, row_offset
from cffs.tree.listing_lookup import know
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import FixedNode, Kind, Node, SearchNode, about
from cffs.tree.search_terms import NO_NOTE, BadSearch, Term, parse_terms
from cffs.tree.size_hints import Form
from cffs.tree.view_entries import (
    as_listed,
    entries_after,
    entries_of,
    first_offset,
    last_offset,
    resolver,
    seq_done,
    with_files,
    zone_of,
)

log = logging.getLogger(__name__)

#: A label that no call has, or a number that no party has, has no folder; no row has this number.
_NO_FOLDER = 0
#: A reason may name every field there is.
_LONGEST_REASON = 400


@dataclass(slots=True)
class _Question:
    """What a search asks for: conditions that each row meets or does not, and what only all of them together decide."""

    conditions: list[Condition] = field(default_factory=list)
    folders: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    order: str = ""
    limit: int | None = None
    sample: int | None = None

    @property
    def is_selection(self) -> bool:
        """Whether all that is found must be known before the first of it can be listed."""
        chooses = self.limit is not None or self.sample is not None
        return chooses or bool(self.order or self.words or self.notes)


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
    """What the search finds, in the order in which it became known; of a selection, what `prepare` has found."""
    if indexes := past(fixed(*_indexes(node)), after):
        return indexes
    asked = _question(context, node)
    if asked.is_selection:
        _key, seqs = context.selections.get(node.name, (None, ()))
        return _selected_after(context, seqs, after)
    find = matching(context, node)
    return entries_after(context, after, lambda at: as_listed(find(seq_done(at), context.catalog.views)), first_offset)


async def files_in_thread(context: Context, node: SearchNode, after: int) -> list[Entry]:
    """What `files` returns, from a thread, since rare finds take a look at many rows. Always a checkpoint."""
    if not after or node.name not in context.selections:  # a listing goes on with what it began with
        await prepare(context, node)
    if past(fixed(*_indexes(node)), after) or _question(context, node).is_selection:
        return files(context, node, after)
    found, at = matching(context, node), after
    while rows := as_listed(await context.catalog.ask_in_thread(partial(found, seq_done(at)))):
        if entries := past(entries_of(context, rows, first_offset), after):
            return entries
        at = last_offset(rows, first_offset)
    return []


def _indexes(node: SearchNode) -> tuple[tuple[str, Node], ...]:
    return ("index.jsonl", about(node, Kind.INDEX_JSONL)), ("index.csv", about(node, Kind.INDEX_CSV))


async def prepare_folder(context: Context, node: SearchNode) -> None:
    """Ask once for each call of which only the id is known; before a selection, have all recordings listed, since
    each of them may change what is selected. Raises what stops that, where they were never listed."""
    await views.prepare(context, node)
    if is_selection(context, node):
        await know(context, "recordings")


async def prepare(context: Context, node: SearchNode) -> None:
    """Find what a selection holds, where that is not known as it is now. A checkpoint where it is looked for.

    Raises NotSupported where words are asked for and cannot be searched.
    """
    asked, key = _question(context, node), key_of(context, node)
    if not asked.is_selection or context.selections.get(node.name, (None, ()))[0] == key:
        return
    conditions = list(asked.conditions)
    for text in asked.words:
        found = [] if context.notes is None else await context.notes.recordings_with(parse_words(text))
        conditions.append(_among(found))
    for extension in asked.notes:
        keys = [] if context.notes is None else context.notes.all_keys()
        if extension == NO_NOTE:
            conditions.append(_among({key.recording_id for key in keys}, are_in=False))
        else:
            conditions.append(_among(key.recording_id for key in keys if key.extension == extension))
    day = context.today()

    def select(found: Views) -> list[int]:
        limit = None if asked.sample is not None else asked.limit
        rows = found.selected(conditions, folders=asked.folders, order=asked.order, limit=limit)
        if asked.sample is not None:
            rows = _sample(rows, asked.sample, seed=f"{day} {_what(node)}")[: asked.limit]
        return [seq for seq, _recording_id in rows]

    context.selections[node.name] = key, tuple(await context.catalog.ask_in_thread(select))


def is_selection(context: Context, node: SearchNode) -> bool:
    """Whether `prepare` must have run before the search can be listed."""
    return _question(context, node).is_selection


def key_of(context: Context, node: SearchNode) -> Hashable:
    """Another one where the selection may be another one."""
    notes = context.notes
    turns = (0, 0) if notes is None else (notes.turn, notes.words_turn)
    return node.name, context.catalog.state, context.today(), turns


def _selected_after(context: Context, seqs: Sequence[int], after: int) -> list[Entry]:
    """The next entries of a selection: an entry's offset is its place in it."""
    at = seq_done(after)
    while at < len(seqs):
        page = seqs[at : at + PAGE_ROWS]
        rows = context.catalog.views.of_seqs(page, with_files=with_files(context))
        if entries := past(entries_of(context, rows, _offsets(page, first_place=at + 1)), after):
            return entries
        at += len(page)
    return []


def _offsets(page: Sequence[int], *, first_place: int) -> Callable[[ListedRecording], int]:
    places = {seq: row_offset(first_place + index, 0) for index, seq in enumerate(page)}
    return lambda row: places[row.seq]


def _among(recordings: Iterable[int], *, are_in: bool = True) -> Condition:
    clause = "+r.id IN (SELECT value FROM json_each(?))"
    return Condition(clause if are_in else f"NOT {clause}", (json.dumps(list(recordings)),))


def _sample(rows: list[tuple[int, int]], size: int, *, seed: str) -> list[tuple[int, int]]:
    """So many of the rows, drawn by the digest of the seed and the id: any machine draws the same."""

    def lot(row: tuple[int, int]) -> bytes:
        return blake2b(f"{seed} {row[1]}".encode(), digest_size=8).digest()

    drawn = set(heapq.nsmallest(size, rows, key=lot))
    return [row for row in rows if row in drawn]


def _what(node: SearchNode) -> str:
    """The conditions of a search in one spelling, without what chooses among those that meet them."""
    parts = [part for part in node.name.split("&") if not part.startswith(("sample=", "order=", "limit="))]
    return "&".join(sorted(parts))


def matching(context: Context, node: SearchNode) -> Callable[[int, Views], list[ViewRow]]:
    """The function that finds the next rows past a sequence number, in the views it is given."""
    asked = _question(context, node)

    def find(after_seq: int, known: Views) -> list[ViewRow]:
        return known.matching(asked.conditions, folders=asked.folders, after_seq=after_seq)

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


def _keep(name: str) -> Callable[[Context, Term, _Question], None]:
    def ask(_context: Context, term: Term, asked: _Question) -> None:
        setattr(asked, name, term.value)

    return ask


def _words(_context: Context, term: Term, asked: _Question) -> None:
    asked.words.append(str(term.value))


def _notes(_context: Context, term: Term, asked: _Question) -> None:
    asked.notes.append(str(term.value))


def _inbound(_context: Context, term: Term, asked: _Question) -> None:
    asked.conditions.append(Condition("coalesce(c.inbound, 0) = ?", (int(term.value == "yes"),)))


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
    "max-seconds": _where("r.seconds <= ?"),
    "state": _where("r.state = ?"),
    "inbound": _inbound,
    "result": _where("json_extract(CAST(c.document AS TEXT), '$.finalCallResult') = ?"),
    "text": _words,
    "note": _notes,
    "sample": _keep("sample"),
    "order": _keep("order"),
    "limit": _keep("limit"),
}
