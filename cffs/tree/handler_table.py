"""The table of handlers: what the nodes of each kind do, one row for each kind.

It must not know more of a kind than which functions are its own; a test holds that every kind has a row. A new path
takes one row in `routes`, one here, one method of a client, and one test.
"""

from typing import Any

from cffs.core.errors import NotInTree
from cffs.tree import (
    calls,
    campaigns,
    clips,
    dates,
    dynamic,
    indexes,
    manifests,
    me,
    me_caller_ids,
    me_credentials,
    media,
    notes,
    playlists,
    readme,
    recording_content,
    recordings,
    root,
    search,
    uploads,
    views,
)
from cffs.tree.context import Context
from cffs.tree.node_handlers import NodeHandlers, Parts, Resolve
from cffs.tree.nodes import (
    AboutFolderNode,
    CallerIdNode,
    CallJsonNode,
    CallMonthNode,
    CallNode,
    CampaignCallsNode,
    CampaignJsonNode,
    CampaignNode,
    ClipNode,
    CreatedCredentialNode,
    CredentialJsonNode,
    CreditUsageNode,
    DateNode,
    DynamicFileNode,
    DynamicFolderNode,
    FixedKind,
    FixedNode,
    Kind,
    LoneCallNode,
    MediaFileNode,
    MediaJsonNode,
    MediaPublicFileNode,
    MediaRawNode,
    Mp3Node,
    Node,
    NoteNode,
    OwnFileNode,
    RecordingJsonNode,
    SearchNode,
    UploadNode,
    ViewFolderNode,
    WavNode,
)


def _there(kind: FixedKind) -> Resolve:
    """A node that exists whatever the service answers."""

    def resolve(_context: Context, _parent: Node, _parts: Parts) -> Node:
        return FixedNode(kind)

    return resolve


def _there_with_v2(kind: FixedKind) -> Resolve:
    """A node that exists wherever there is a login for v2."""

    def resolve(context: Context, _parent: Node, _parts: Parts) -> Node:
        if context.account.v2 is None:
            raise NotInTree(f"{kind.name} is v2's")
        return FixedNode(kind)

    return resolve


def _in_calls(resolve: Resolve) -> dict[Kind, Resolve]:
    """The folder of a call resolves alike below a campaign and below calls/."""
    return {Kind.CALL: resolve, Kind.LONE_CALL: resolve}


def _campaign_of(node: CampaignNode | CampaignCallsNode) -> int:
    return node.campaign_id


_MP3_IN_VIEWS: dict[Kind, Resolve] = {
    Kind.CAMPAIGN: campaigns.resolve_mp3,
    Kind.DAY: dates.resolve_mp3,
    Kind.ONE_NUMBER: views.resolve_mp3,
    Kind.ONE_LABEL: views.resolve_mp3,
    Kind.SEARCH: search.resolve_mp3,
}
_WAV_IN_VIEWS: dict[Kind, Resolve] = {
    Kind.CAMPAIGN: campaigns.resolve_wav,
    Kind.DAY: dates.resolve_wav,
    Kind.ONE_NUMBER: views.resolve_wav,
    Kind.ONE_LABEL: views.resolve_wav,
    Kind.SEARCH: search.resolve_wav,
}


HANDLERS: dict[Kind, NodeHandlers[Any]] = {
    Kind.ROOT: NodeHandlers[FixedNode](resolve=_there(Kind.ROOT), entries=root.root_entries),
    Kind.README: NodeHandlers[FixedNode](resolve=readme.resolve, content=readme.content),
    Kind.CAMPAIGNS: NodeHandlers[FixedNode](
        resolve=_there(Kind.CAMPAIGNS),
        listing="campaigns",
        prepare=campaigns.prepare_campaigns,
        entries=campaigns.campaigns_entries,
    ),
    Kind.CAMPAIGN: NodeHandlers[CampaignNode](
        resolve=campaigns.resolve_campaign,
        listing="recordings",
        campaign_of=_campaign_of,
        entries=notes.beside(campaigns.campaign_entries),
        writing=notes.FOLDER_WRITING,
    ),
    Kind.CAMPAIGN_JSON: NodeHandlers[CampaignJsonNode](
        resolve=campaigns.resolve_campaign_json, content=campaigns.campaign_json
    ),
    Kind.CAMPAIGN_CALLS: NodeHandlers[CampaignCallsNode](
        resolve=campaigns.resolve_calls, listing="calls", campaign_of=_campaign_of, entries=calls.calls_of_campaign
    ),
    Kind.CALL: NodeHandlers[CallNode](
        resolve=calls.resolve_call,
        prepare=calls.prepare,
        is_prepared=calls.is_prepared,
        entries=notes.beside(recordings.call_entries),
        writing=notes.FOLDER_WRITING,
        is_whole=True,
    ),
    Kind.CALLS: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.CALLS),
        listing="calls",
        prepare=calls.prepare_months,
        entries=calls.calls_entries,
    ),
    Kind.CALL_MONTH: NodeHandlers[CallMonthNode](
        resolve=calls.resolve_month, listing="calls", entries=calls.calls_of_month
    ),
    Kind.LONE_CALL: NodeHandlers[LoneCallNode](
        resolve=calls.resolve_lone_call,
        prepare=calls.prepare,
        is_prepared=calls.is_prepared,
        entries=notes.beside(recordings.call_entries),
        writing=notes.FOLDER_WRITING,
        is_whole=True,
    ),
    Kind.CALL_JSON: NodeHandlers[CallJsonNode](
        resolve=recordings.resolve_call_json, content=recording_content.call_json
    ),
    Kind.MP3: NodeHandlers[Mp3Node](
        resolve=recordings.resolve_mp3,
        resolve_in={**_in_calls(recordings.resolve_call_mp3), **_MP3_IN_VIEWS},
        content=recording_content.mp3_content,
    ),
    Kind.WAV: NodeHandlers[WavNode](
        resolve=recordings.resolve_wav,
        resolve_in={**_in_calls(recordings.resolve_call_wav), **_WAV_IN_VIEWS},
        content=recording_content.wav_content,
    ),
    Kind.RECORDING_JSON: NodeHandlers[RecordingJsonNode](
        resolve=recordings.resolve_json,
        resolve_in=_in_calls(recordings.resolve_call_recording_json),
        content=recording_content.recording_json,
    ),
    Kind.RECORDINGS: NodeHandlers[FixedNode](
        resolve=_there(Kind.RECORDINGS),
        listing="recordings",
        prepare=views.prepare,
        entries=notes.beside(recordings.recordings_entries),
        writing=notes.FOLDER_WRITING,
    ),
    Kind.DYNAMIC: NodeHandlers[FixedNode](resolve=dynamic.resolve_root, entries=dynamic.root_entries),
    Kind.DYNAMIC_HASH: NodeHandlers[DynamicFolderNode](resolve=dynamic.resolve_folder, entries=dynamic.folder_entries),
    Kind.DYNAMIC_YEAR: NodeHandlers[DynamicFolderNode](resolve=dynamic.resolve_folder, entries=dynamic.folder_entries),
    Kind.DYNAMIC_MONTH: NodeHandlers[DynamicFolderNode](resolve=dynamic.resolve_folder, entries=dynamic.folder_entries),
    Kind.DYNAMIC_CAMPAIGN: NodeHandlers[DynamicFolderNode](
        resolve=dynamic.resolve_folder, entries=dynamic.file_entries
    ),
    Kind.DYNAMIC_FILE: NodeHandlers[DynamicFileNode](resolve=dynamic.resolve_file, content=dynamic.content),
    Kind.MEDIA: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.MEDIA),
        listing="media",
        entries=media.media_entries,
        writing=uploads.MEDIA_WRITING,
    ),
    Kind.UPLOAD: NodeHandlers[UploadNode](
        resolve=uploads.resolve, content=uploads.content, writing=uploads.UPLOAD_WRITING
    ),
    Kind.MEDIA_FILE: NodeHandlers[MediaFileNode](
        resolve=media.resolve_file,
        resolve_in={Kind.MEDIA_BY_NAME: media.resolve_by_name},
        content=media.file_content,
        writing=uploads.MEDIA_FILE_WRITING,
    ),
    Kind.MEDIA_RAW: NodeHandlers[MediaRawNode](
        resolve=media.resolve_raw, resolve_in={Kind.MEDIA_BY_NAME: media.resolve_by_name}, content=media.raw_content
    ),
    Kind.MEDIA_JSON: NodeHandlers[MediaJsonNode](resolve=media.resolve_json, content=media.json_content),
    Kind.MEDIA_BY_NAME: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.MEDIA_BY_NAME), listing="media", entries=media.by_name_entries
    ),
    Kind.MEDIA_PUBLIC: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.MEDIA_PUBLIC), listing="media", entries=media.public_entries
    ),
    Kind.MEDIA_PUBLIC_FILE: NodeHandlers[MediaPublicFileNode](
        resolve=media.resolve_public, content=media.public_content
    ),
    Kind.ME: NodeHandlers[FixedNode](resolve=_there_with_v2(Kind.ME), entries=me.me_entries),
    Kind.ACCOUNT_JSON: NodeHandlers[FixedNode](resolve=_there_with_v2(Kind.ACCOUNT_JSON), content=me.account_json),
    Kind.BILLING: NodeHandlers[FixedNode](resolve=_there_with_v2(Kind.BILLING), entries=me.billing_entries),
    Kind.PLAN_USAGE_JSON: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.PLAN_USAGE_JSON), content=me.plan_usage_json
    ),
    Kind.CREDIT_USAGE_JSON: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.CREDIT_USAGE_JSON), content=me.credit_usage_json
    ),
    Kind.CREDIT_USAGE: NodeHandlers[FixedNode](resolve=_there_with_v2(Kind.CREDIT_USAGE), entries=me.nothing),
    Kind.CREDIT_USAGE_INTERVAL_JSON: NodeHandlers[CreditUsageNode](
        resolve=me.resolve_interval, content=me.interval_json
    ),
    Kind.CALLER_IDS: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.CALLER_IDS),
        prepare=me_caller_ids.prepare,
        entries=me_caller_ids.entries,
        is_whole=True,
        writing=me_caller_ids.FOLDER_WRITING,
    ),
    Kind.CALLER_ID: NodeHandlers[CallerIdNode](
        resolve=me_caller_ids.resolve, entries=me_caller_ids.number_entries, writing=me_caller_ids.NUMBER_WRITING
    ),
    Kind.VERIFICATION_CODE: NodeHandlers[CallerIdNode](
        resolve=me_caller_ids.resolve_code, content=me_caller_ids.code_content, writing=me_caller_ids.CODE_WRITING
    ),
    Kind.ME_API: NodeHandlers[FixedNode](resolve=me.resolve_me_api, entries=me.me_api_entries),
    Kind.CREDENTIALS: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.CREDENTIALS),
        prepare=me_credentials.prepare,
        entries=me_credentials.entries,
        is_whole=True,
        writing=me_credentials.FOLDER_WRITING,
    ),
    Kind.CREDENTIAL_JSON: NodeHandlers[CredentialJsonNode](
        resolve=me_credentials.resolve_listed, content=me_credentials.credential_json
    ),
    Kind.CREATED_CREDENTIAL: NodeHandlers[CreatedCredentialNode](
        resolve=me_credentials.resolve_created,
        entries=me_credentials.created_entries,
        writing=me_credentials.CREATED_WRITING,
    ),
    Kind.CREATED_CREDENTIAL_JSON: NodeHandlers[CreatedCredentialNode](
        resolve=me_credentials.resolve_created_json,
        content=me_credentials.created_json,
        writing=me_credentials.CREATED_JSON_WRITING,
    ),
    Kind.BY_DATE: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.BY_DATE), listing="recordings", prepare=dates.prepare, entries=dates.years
    ),
    Kind.YEAR: NodeHandlers[DateNode](
        resolve=dates.resolve_folder, listing="recordings", prepare=dates.prepare, entries=dates.months, is_whole=True
    ),
    Kind.MONTH: NodeHandlers[DateNode](
        resolve=dates.resolve_folder, listing="recordings", prepare=dates.prepare, entries=dates.days, is_whole=True
    ),
    Kind.DAY: NodeHandlers[DateNode](
        resolve=dates.resolve_folder,
        listing="recordings",
        prepare=dates.prepare,
        entries=notes.beside(dates.files),
        writing=notes.FOLDER_WRITING,
    ),
    Kind.BY_NUMBER: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.BY_NUMBER), listing="recordings", prepare=views.prepare, entries=views.folders
    ),
    Kind.ONE_NUMBER: NodeHandlers[ViewFolderNode](
        resolve=views.resolve_folder,
        listing="recordings",
        prepare=views.prepare,
        entries=notes.beside(views.files),
        writing=notes.FOLDER_WRITING,
    ),
    Kind.BY_LABEL: NodeHandlers[FixedNode](
        resolve=_there_with_v2(Kind.BY_LABEL), listing="recordings", prepare=views.prepare, entries=views.folders
    ),
    Kind.ONE_LABEL: NodeHandlers[ViewFolderNode](
        resolve=views.resolve_folder,
        listing="recordings",
        prepare=views.prepare,
        entries=notes.beside(views.files),
        writing=notes.FOLDER_WRITING,
    ),
    Kind.SEARCHES: NodeHandlers[FixedNode](resolve=_there_with_v2(Kind.SEARCHES), entries=search.searches),
    Kind.SEARCH_README: NodeHandlers[FixedNode](resolve=readme.resolve_of_search, content=readme.content_of_search),
    Kind.SEARCH: NodeHandlers[SearchNode](
        resolve=search.resolve_search,
        listing="recordings",
        prepare=search.prepare_folder,
        entries=notes.beside(search.files),
        entries_in_thread=notes.beside_in_thread(search.files_in_thread),
        writing=notes.FOLDER_WRITING,
    ),
    Kind.MOMENT: NodeHandlers[ClipNode](resolve=clips.resolve, content=clips.content),
    Kind.MANIFEST: NodeHandlers[AboutFolderNode](resolve=manifests.resolve, content=manifests.content),
    Kind.INDEX_JSONL: NodeHandlers[AboutFolderNode](resolve=indexes.resolve_jsonl, content=indexes.content),
    Kind.INDEX_CSV: NodeHandlers[AboutFolderNode](resolve=indexes.resolve_csv, content=indexes.content),
    Kind.PLAYLIST: NodeHandlers[AboutFolderNode](resolve=playlists.resolve, content=playlists.content),
    Kind.NOTE: NodeHandlers[NoteNode](resolve=notes.resolve, content=notes.content, writing=notes.FILE_WRITING),
    Kind.TEMPORARY_NOTE: NodeHandlers[NoteNode](
        resolve=notes.resolve_temporary, content=notes.content, writing=notes.FILE_WRITING
    ),
    Kind.OWN: NodeHandlers[FixedNode](resolve=_there(Kind.OWN), entries=root.own_entries),
    Kind.OWN_FILE: NodeHandlers[OwnFileNode](resolve=root.resolve_own_file, content=root.own_content),
}
