"""The control command `known`: what a window shows of the files of a folder.

A window asks about a folder at a time, and asks again whenever its user looks; so an answer comes from rows and from
the counts of the caches alone, and no request goes to the service. It must not know how a file manager shows anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

import trio

from cffs.cache.disk import DiskCache
from cffs.catalog.store import Catalog
from cffs.core.errors import CffsError, UsageError
from cffs.core.listed_names import is_dated
from cffs.core.units import MS_PER_SECOND
from cffs.daemon.control import Progress
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.contents import Entry, Remote
from cffs.tree.inodes import ROOT
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import Node
from cffs.tree.unproven import Unproven
from cffs.tree.view_entries import other_number
from cffs.tree.xattrs import held_part, recording_of

#: Entries in one answer, about 100 KB; a larger folder is asked for in several.
PAGE = 500
#: So many names are answered between two turns of the kernel's calls: about a millisecond.
_NAMES_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """Answers `known` for one mount."""

    namespace: Namespace
    catalog: Catalog
    objects: ObjectRegistry
    disk: DiskCache

    async def known(self, arguments: Mapping[str, object], _progress: Progress) -> object:
        """The files of `folder`, below the mount point, past the offset `after` (0 at first): `{"files": {NAME: facts},
        "after": OFFSET}`, the offset to go on from, None at the end. A checkpoint. Raises UsageError for anything else.

        Only files that hold bytes of the service are in it. Facts: `held` (`full`, `partial` or `none`) and `pinned`;
        of a recording also `number` of the other party, `date` in the zone of the names, `seconds` and `labels`, as far
        as they are known.
        """
        folder, after = arguments.get("folder"), arguments.get("after", 0)
        if not isinstance(folder, str) or not isinstance(after, int) or isinstance(after, bool):
            raise UsageError("known needs a folder, and an offset in `after`")
        entries = (await self._page(folder, after))[:PAGE]
        files: dict[str, object] = {}
        for index, entry in enumerate(entries):
            if index % _NAMES_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            facts = self._facts(entry.node)
            if facts is not None:
                files[entry.name] = facts
        return {"files": files, "after": entries[-1].offset if entries else None}

    async def _page(self, folder: str, after: int) -> list[Entry]:
        """The next known entries; none where a request would have to prove that there is such a folder."""
        node: Node = ROOT
        try:
            for name in filter(None, folder.split("/")):
                found = self.namespace.find(node, name)
                if isinstance(found, Unproven):
                    return []
                node = found
            return await self.namespace.page(node, after=after)
        except CffsError:
            return []

    def _facts(self, node: Node) -> dict[str, object] | None:
        try:
            content = self.namespace.content(node)
        except CffsError:  # a folder, or a row that is gone
            return None
        if not isinstance(content, Remote):
            return None
        description = self.namespace.describe_content(content)
        held = held_part(self.objects.held_nbytes(content.key), description)
        facts: dict[str, object] = {"held": held, "pinned": self.disk.is_pinned(content.key)}
        recording_id = recording_of(node)
        return facts if recording_id is None else facts | self._of_recording(recording_id)

    def _of_recording(self, recording_id: int) -> dict[str, object]:
        row = self.catalog.views.recording(recording_id)
        if row is None:
            return {}
        recording = row.recording
        labels = self.catalog.views.labels(recording_id)
        known = {"number": other_number(row), "date": _date(recording.created_ms, self.catalog.zone)}
        return {name: text for name, text in known.items() if text} | {"seconds": recording.seconds, "labels": labels}


def _date(created_ms: int | None, zone: tzinfo) -> str:
    """`2026-11-24 14:20:47`, as the names have it; empty where it is not known."""
    if created_ms is None or not is_dated(created_ms):
        return ""
    return datetime.fromtimestamp(created_ms // MS_PER_SECOND, zone).strftime("%Y-%m-%d %H:%M:%S")
