"""campaigns/: which campaigns exist, under which names, and what a folder shows.

It must not know calls, beyond the names of their folders (`tree/calls`), nor how audio files are named
(`tree/view_entries`). v1 cannot deny a campaign; v2 can where it lists any.
"""

from cffs.catalog.capabilities import Family
from cffs.catalog.rows import CampaignRow
from cffs.catalog.views import ViewRow
from cffs.core.errors import AccessRefused, NotInTree, OperationNotOffered, RemoteObjectMissing
from cffs.core.ids import parse_id
from cffs.core.json_values import encode
from cffs.tree import recordings
from cffs.tree.contents import Content, Document, Entry, Folder
from cffs.tree.context import Context, fixed, past, row_offset, seq_before
from cffs.tree.listing_lookup import know, of_listing
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import (
    BY_ID,
    DIRECT,
    LISTED,
    CallNode,
    CampaignCallsNode,
    CampaignJsonNode,
    CampaignNode,
    Kind,
    Node,
    WavNode,
    about,
)
from cffs.tree.recordings import FILES_OFFSET, shown_forms
from cffs.tree.size_hints import Form
from cffs.tree.unproven import Question
from cffs.tree.view_entries import entries_after, first_offset, resolver, seq_done, with_files


def resolve_campaign(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """A campaign. By its id, any opens with a v1 key, or where nothing lists campaigns; else v2 decides. By its name,
    those open whose name v2 has sent."""
    if "campaign_name" in parts:
        name = parts["campaign_name"]
        return of_listing(
            context, "campaigns", lambda: context.catalog.campaign_in(name), lambda row: CampaignNode(row.id, LISTED)
        )
    campaign_id = int(parts["campaign"])
    node = CampaignNode(campaign_id, BY_ID)
    nothing_denies = context.account.v1 is not None or context.account.capabilities.offers(Family.BROADCASTS) is False
    if nothing_denies or context.catalog.campaign(campaign_id) is not None:
        return node

    async def ask() -> Node:
        try:
            await context.account.find_campaign(campaign_id, patience_seconds=None)
        except OperationNotOffered:
            pass  # nothing can deny it: the file decides
        return node

    return Question(node, ask)


def resolve_calls(_context: Context, parent: CampaignNode, _parts: Parts) -> Node:
    """Every campaign has a folder of its calls."""
    return CampaignCallsNode(parent.campaign_id, parent.way)


def resolve_campaign_json(_context: Context, parent: CampaignNode, _parts: Parts) -> Node:
    """Every campaign has metadata."""
    return CampaignJsonNode(parent.campaign_id)


async def prepare_campaigns(context: Context, _node: Node) -> None:
    """Have all campaigns listed: those that are known from calls get their names page by page, in another order than
    that of the folder, and one would be listed by its id and by its name."""
    if not context.settings.lists_ids:
        await know(context, "campaigns")


def campaigns_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """Every known campaign."""
    rows = context.catalog.listed_campaigns(after_seq=seq_before(after))
    return past([_campaign_entry(context, row, newest_ms) for row, newest_ms in rows], after)


def _campaign_entry(context: Context, row: CampaignRow, newest_ms: int | None) -> Entry:
    name = None if context.settings.lists_ids else row.folder
    node = CampaignNode(row.id, BY_ID if name is None else LISTED)
    return Entry(row_offset(row.seq, 0), str(row.id) if name is None else name, node, Folder(newest_ms))


def campaign_entries(context: Context, node: CampaignNode, after: int) -> list[Entry]:
    """A campaign's metadata, playlist and calls/; then its recordings, in the order in which they became known. With
    `--names ids`, the folders of its calls stand in place of calls/ and the recordings."""
    campaign_id = node.campaign_id
    always: list[tuple[str, Node]] = [
        ("campaign.json", CampaignJsonNode(campaign_id)),
        ("playlist.m3u8", about(node, Kind.PLAYLIST)),
    ]
    if context.settings.lists_ids:
        rows = context.catalog.calls(campaign_id=campaign_id, after_seq=seq_before(after))
        calls = [
            Entry(row_offset(row.seq, 0), str(row.id), CallNode(campaign_id, row.id, node.way, DIRECT)) for row in rows
        ]
        return past(fixed(*always) + calls, after)
    first = past(fixed(*always, ("calls", CampaignCallsNode(campaign_id, node.way))), after)
    return first + audio_entries(context, node, after)


def audio_entries(context: Context, node: CampaignNode, after: int) -> list[Entry]:
    """The next recordings of a campaign past an offset; after them, files that only v1 has listed."""
    campaign_id = node.campaign_id
    if after < FILES_OFFSET and (
        found := entries_after(
            context,
            after,
            lambda at: context.catalog.views.in_campaign(
                campaign_id, after_seq=seq_done(at), with_files=with_files(context)
            ),
            first_offset,
        )
    ):
        return found
    if Form.WAV not in shown_forms(context):
        return []
    files = context.catalog.files_of_campaign(campaign_id, after_seq=seq_before(max(0, after - FILES_OFFSET)))
    entries = [Entry(FILES_OFFSET + row_offset(file.seq, 0), f"{file.id}.wav", WavNode(file.id)) for file in files]
    return past(entries, after)


def _is_of_campaign(_context: Context, node: CampaignNode, row: ViewRow) -> bool:
    return row.recording.campaign_id == node.campaign_id


resolve_mp3 = resolver(Form.MP3, _is_of_campaign)
_resolve_wav_of_recording = resolver(Form.WAV, _is_of_campaign)


def resolve_wav(context: Context, parent: CampaignNode, parts: Parts) -> Node | Question:
    """The WAV of a recording; or a file that v1 listed for a call of the campaign, by its id."""
    file_id = parse_id(parts["name"])
    file = context.catalog.listed_file(file_id) if file_id is not None else None
    if file is not None and file.campaign_id == parent.campaign_id:
        return recordings.resolve_wav(context, parent, {"id": str(file.id)})
    return _resolve_wav_of_recording(context, parent, parts)


def campaign_json(context: Context, node: CampaignJsonNode) -> Content:
    """What v2 has said of the campaign. Where only its id is known and v2 can say more, v2 is asked once."""
    campaign_id = node.campaign_id
    row = context.catalog.campaign(campaign_id)
    seen_ms = row.seen_ms if row is not None else None
    if row is not None and row.document is not None:
        return Document(body=row.document, modified_ms=seen_ms if row.modified_ms is None else row.modified_ms)

    async def load() -> bytes:
        try:
            await context.account.find_campaign(campaign_id, patience_seconds=None)
        except (NotInTree, OperationNotOffered, RemoteObjectMissing, AccessRefused):
            pass  # v2 has nothing to add; the id is what is known
        found = context.catalog.campaign(campaign_id)
        return found.document if found and found.document else encode({"id": campaign_id})

    if context.account.v2 is None:
        return Document(body=encode({"id": campaign_id}), modified_ms=seen_ms)
    return Document(body=None, load=load, modified_ms=seen_ms)
