"""The assembly of what the kernel speaks to: its operations over the tree.

Owns which part of the kernel's dialect is given which. It must not know how a mount starts and ends, and it opens
nothing of the kernel's.
"""

from dataclasses import dataclass

import pyfuse3

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.core.settings import Settings
from cffs.core.units import NS_PER_MS
from cffs.daemon.assembly import CatalogueParts, OriginParts, TreeLeaves, build_context, build_objects
from cffs.daemon.audit_log import AuditLog
from cffs.daemon.audited_operations import AuditedOperations, noting
from cffs.daemon.thumbnailers import HeadForThumbnailers
from cffs.fuse.attributes import AttributeMaker, KernelCaching
from cffs.fuse.guard import CallTable, GuardedOperations
from cffs.fuse.handlers import Handlers
from cffs.fuse.handles import HandleTable
from cffs.fuse.inode_versions import InodeVersions
from cffs.fuse.invalidation import KernelView
from cffs.fuse.operations import Operations
from cffs.fuse.presentation import KernelState, Presentation
from cffs.fuse.readdir import ReaddirReply
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.facts_to_catalog import FactsToCatalog
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.xattrs import attributes_teller


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderParts:
    """The bytes of objects, and what the kernel holds of them."""

    cache: MemoryCache
    disk: DiskCache | None
    kernel: KernelState
    listener: FactsToCatalog
    objects: ObjectRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeParts:
    """The tree, and the operations over it. `audited` is the wrapper that notes open files, where there is one."""

    namespace: Namespace
    handlers: Handlers
    operations: GuardedOperations
    audited: AuditedOperations | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves(TreeLeaves):
    """What the tree and the operations end in: a mount gives its own, a test what it can look into."""

    calls: CallTable
    readdir_reply: ReaddirReply = pyfuse3.readdir_reply
    audit: AuditLog | None = None


def build_reader(
    settings: Settings,
    origin: OriginParts,
    catalogue: CatalogueParts,
    *,
    cache: MemoryCache,
    disk: DiskCache | None,
    view: KernelView,
) -> ReaderParts:
    """The reader of objects, over the caches given. `view` is the way into the kernel."""
    kernel = KernelState(
        inodes=InodeTable(catalogue.catalog.versions), versions=InodeVersions(), handles=HandleTable(), view=view
    )
    listener = FactsToCatalog(catalogue.catalog, kernel.retire_inodes_of)
    objects = build_objects(settings, origin, catalogue, cache=cache, disk=disk, listener=listener)
    return ReaderParts(cache=cache, disk=disk, kernel=kernel, listener=listener, objects=objects)


def build_tree(
    settings: Settings, origin: OriginParts, catalogue: CatalogueParts, reader: ReaderParts, leaves: Leaves
) -> TreeParts:
    """The tree, the handlers over it, what the settings wrap around these, and the guard around it all."""
    catalog, objects, kernel = catalogue.catalog, reader.objects, reader.kernel
    context = build_context(
        settings, origin, catalogue, objects=objects, leaves=leaves, name_changed=kernel.forget_name
    )
    namespace = Namespace(context, kernel.inodes)
    first_seen_ns = catalog.first_seen_ms * NS_PER_MS
    url_of = settings.origin().url_of
    handlers: Handlers = Operations(
        Presentation(
            namespace=namespace,
            objects=objects,
            catalog=catalog,
            kernel=kernel,
            attributes=AttributeMaker(settings.fuse(), KernelCaching(), first_seen_ns=first_seen_ns),
            now_ns=leaves.now_ns,
        ),
        budget_seconds=leaves.calls.budget_seconds,
        readdir_reply=leaves.readdir_reply if leaves.audit is None else noting(leaves.readdir_reply),
        attributes_of=attributes_teller(context, namespace, objects.held_nbytes, url_of) if settings.xattrs else None,
    )
    if settings.thumbnailers == "head":
        handlers = HeadForThumbnailers(handlers, kernel.handles)
    audited = None
    if leaves.audit is not None:
        handlers = audited = AuditedOperations(handlers, kernel=kernel, audit=leaves.audit, now_ns=leaves.now_ns)
    operations = GuardedOperations(handlers, leaves.calls)
    return TreeParts(namespace=namespace, handlers=handlers, operations=operations, audited=audited)
