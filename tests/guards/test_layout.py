"""Guard over the layout: names, sizes of modules, and where their tests are.

It owns the exceptions, each with its reason. It must not know what a module does.
"""

import ast
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "cffs").rglob("*.py"))
#: Packages that lie beside the call path: the commands, and the service that the tests embed.
BESIDE = {"cli", "standin"}
#: Class names that two packages of one call path have, with the packages.
SHARED_NAMES: Final[dict[str, str]] = {}
#: How often a basename may occur; `__init__` and `__main__` are Python's.
MOST_BASENAMES = 2
#: A shorter module is a splinter of a concept, unless it is named here with its reason.
SHORTEST_MODULE = 40
SHORT: Final[dict[str, str]] = {
    "cache/types": "the values that memory and disk share; neither imports the other",
    "catalog/changes": "the one value that passes from the catalogue to fuse",
    "cli/check_credentials": "imports the network; login and doctor share it",
    "cli/completion": "a command",
    "cli/durations": "a parser that two commands share",
    "cli/hidden_arguments": "the kernel's own interface",
    "cli/groups": "every group of commands is one",
    "cli/messages": "what every command prints through",
    "cli/mount_helper": "the entry point of mount.cffs in a checkout",
    "core/background": "a protocol, below everything that starts tasks",
    "core/ids": "the types of ids, below everything that has one",
    "core/units": "the numbers that must be the same everywhere",
    "daemon/fuse_session": "the only caller of pyfuse3.init",
    "daemon/mount_table": "reads what core/procfs parses; commands and daemon share it",
    "daemon/malloc": "glibc's own interface",
    "reader/first_source": "a rule that four modules share",
    "standin/fault_target": "the value between faults and their effects",
    "standin/multipart": "a grammar",
    "standin/v2": "the face of v2's tables, as v1 has one",
    "tree/object_keys": "the spelling of keys, below everything that fills files",
    "tree/size_hints": "a decision",
    "writer/account_actions": "both kinds of actions, for the tree's context",
}
MOST_SHORT = 23
#: A longer module is held by tests that are found from its name, or by a suite of the table.
UNTESTED_NLINES = 60
#: Suite -> the modules that it holds, besides the one that it is named after.
SUITES: Final[dict[str, str]] = {
    "fuse/test_revalidate.py": "reader/revalidation",
    "cache/test_memory.py": "extents",
    "callfire/test_transport.py": "request request_loop session",
    "callfire/test_operations.py": "v2",
    "callfire/test_pool.py": "wire/exchange",
    "callfire/test_wire.py": "wire/dialing wire/httpx_transport wire/interfaces wire/sockets",
    "catalog/test_store.py": "facts rows",
    "catalog/test_account_sync.py": "call_cache capability_probe",
    "catalog/test_url_import.py": "url_finder",
    "catalog/test_upserts.py": "view_index",
    "tree/test_row_completion.py": "catalog/row_completion",
    "tree/test_views.py": "catalog/views dates view_entries",
    "cli/test_shells.py": "cache config_show reload_settings status",
    "cli/test_doctor.py": "checks checks_machine checks_service checks_shared daemon/kernel probe",
    "cli/test_login.py": "config_file",
    "cli/test_command.py": "main mount mountpoint options",
    "cli/test_real_mount.py": "umount",
    "cli/test_demo.py": "standin",
    "daemon/test_control.py": "cli/control",
    "core/test_v1_parser.py": "v1_xml",
    "core/test_settings.py": "settings_resolve",
    "core/test_v2_parsers.py": "values",
    "fuse/test_errnos.py": "core/errors",
    "callfire/test_url_policy.py": "core/source",
    "mount/test_locales.py": "daemon/inherited_environment",
    "mount/test_mounting_as_others.py": "daemon/root_helper",
    "daemon/test_logs.py": "redaction",
    "daemon/test_lifecycle.py": "assembly disk_cache_setup kernel_assembly mount mount_parts upload_setup",
    "mount/test_adopted.py": "daemon/adoption",
    "mount/test_known.py": "daemon/folder_facts",
    "mount/test_mount_services.py": "daemon/mount_services",
    "mount/test_prefetch.py": "daemon/prefetch_command",
    "mount/test_probe.py": "daemon/probe daemon/probe_command daemon/probe_targets",
    "mount/test_rotation.py": "daemon/reload",
    "mount/test_watch.py": "cli/watch cli/watch_place cli/watch_stream",
    "mount/test_search_command.py": "cli/export cli/notes cli/search",
    "mount/test_notes.py": "tree/notes",
    "tree/test_search.py": "indexes search_terms",
    "notes/test_store.py": "draft",
    "mount/test_why.py": "cli/why",
    "fuse/test_reading.py": "open_remote operations tree/object_opening",
    "fuse/test_attribute_cache.py": "node_attributes",
    "fuse/test_invalidation.py": "presentation",
    "fuse/test_names.py": "readdir",
    "mount/test_mount_lifecycle.py": "fuse/unsupported",
    "mount/test_uploads.py": "fuse/write_operations tree/write_handlers",
    "reader/test_remote_file_table.py": "version_tracker",
    "reader/test_completion.py": "coverage",
    "reader/test_demand_reads.py": "connection_scheduler",
    "reader/test_object_registry.py": "object_info",
    "reader/test_disk_tier.py": "tiered_cache",
    "reader/test_wav_clips.py": "wav_clip_heads",
    "reader/test_read_ahead_policy.py": "cursor read_ahead",
    "fuse/test_growing_files.py": "reader/growing_object tree/calls_in_progress",
    "daemon/test_explain.py": "reader/read_history",
    "shared/test_server.py": "redis_client",
    "shared/test_shared_opener.py": "reader/shared_opener",
    "shared/test_shared_transfer.py": "reader/shared_transfer",
    "standin/test_account.py": "call_filter call_store generated_rows me",
    "standin/test_faults.py": "codecs fault_effects_answers fault_effects_bytes",
    "standin/test_http.py": "exchange request_log request_receiver server thread wire",
    "standin/test_operations.py": "answers media_files media_store objects v1 v2_calls v2_me v2_media",
    "tree/test_namespace.py": "context listing_lookup xattrs",
    "tree/test_routes.py": "contents handler_table node_handlers nodes",
    "fsspec_plugin/test_filesystem.py": "tree_assembly unmounted_tree",
    "fuse/test_first_look.py": "tree/unlisted_recordings",
    "fuse/test_promised_names.py": "tree/promised_names",
    "mount/test_credentials_and_caller_ids.py": "tree/me_caller_ids tree/me_credentials tree/namespace_writes",
    "writer/test_uploads.py": "sender tree/uploads upload_file uploaded_files",
}


def module_of(path: Path) -> str:
    """The module of a path, such as `reader/read_ahead_policy` for cffs/reader/read_ahead_policy.py."""
    return path.relative_to(ROOT / "cffs").with_suffix("").as_posix()


NLINES = {module_of(path): len(path.read_text().splitlines()) for path in MODULES if not path.name.startswith("__")}


def test_no_class_name_is_in_two_packages():
    """A class name leads to one package of the call path, or to a declared exception."""
    packages = defaultdict[str, set[str]](set)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            package = module_of(path).partition("/")[0]
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and package not in BESIDE:
                packages[node.name].add(package)
    twice = {name: sorted(found) for name, found in packages.items() if len(found) > 1 and name not in SHARED_NAMES}
    assert twice == {}, "find a name that says what it is in its package"


def test_no_basename_occurs_three_times():
    """A module's name leads to one module, or to one of two."""
    names = defaultdict[str, list[str]](list)
    for module in NLINES:
        names[module.rpartition("/")[2]].append(module)
    assert {name: found for name, found in names.items() if len(found) > MOST_BASENAMES} == {}


def test_no_module_is_a_splinter():
    """A module of less than 40 lines is named above with its reason; it is merged into its concept otherwise."""
    assert sorted(module for module, nlines in NLINES.items() if nlines < SHORTEST_MODULE and module not in SHORT) == []
    needless = [module for module in SHORT if NLINES.get(module, SHORTEST_MODULE) >= SHORTEST_MODULE]
    assert needless == [], "gone, or no longer short: take its line away"
    assert len(SHORT) <= MOST_SHORT


def held_by_suites() -> dict[str, str]:
    """Each module of the table and its suite."""
    held = {}
    for suite, modules in SUITES.items():
        package = suite.partition("/")[0]
        for module in modules.split():
            is_whole = module.partition("/")[0] != "wire" and "/" in module
            held[module if is_whole else f"{package}/{module}"] = suite
    return held


def _own_tests(module: str) -> Path:
    return ROOT / "tests" / module.partition("/")[0] / f"test_{module.rpartition('/')[2]}.py"


@pytest.mark.parametrize("package", sorted({module.partition("/")[0] for module in NLINES}))
def test_tests_are_found_from_the_module(package):
    """tests/PACKAGE/test_MODULE.py exists for every module of more than 60 lines, or the table names its suite."""
    held = held_by_suites()
    missing = []
    for module, nlines in NLINES.items():
        is_held = module in held or _own_tests(module).exists()
        if module.startswith(package + "/") and nlines > UNTESTED_NLINES and not is_held:
            missing.append(module)
    assert missing == [], f"name its tests tests/{package}/test_MODULE.py, or name the suite that holds it in SUITES"


def test_the_table_of_suites_is_true():
    """Every suite and every module of the table exists, and no module of it has tests of its own name."""
    held = held_by_suites()
    assert [suite for suite in SUITES if not (ROOT / "tests" / suite).exists()] == []
    needless = [module for module in held if module not in NLINES or _own_tests(module).exists()]
    assert needless == [], "gone, or with tests of its own name: take it out of SUITES"
