"""Guard over the promises of cffs/docs/semantics.md: each line has tests."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parents[2]
SEMANTICS = ROOT / "cffs/docs/semantics.md"
MOST_CHARACTERS = 120
BYTES, ANSWERS, NETWORK = (f"faults/test_rows_{name}.py" for name in ("bytes", "answers", "network"))
STORAGE, ENDS = "faults/test_rows_storage.py", "faults/test_rows_ends.py"
READING, BEHAVING, OFFLINE = "mount/test_reading.py", "mount/test_mount_lifecycle.py", "faults/test_offline.py"
UNMOUNTED = "fsspec_plugin/test_filesystem.py"

#: The beginning of each line, and the tests that execute it: file and name.
PROMISES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "Bytes are the service's, or an error": (
        (READING, "test_both_apis_give_every_listed_file_whole"),
        ("faults/test_model_mount.py", "test_mount"),
        (BYTES, "test_truncated_close_delimited"),
        (BYTES, "test_error_page_with_200"),
    ),
    "A change at the service is ESTALE": ((BYTES, "test_object_replaced_between_ranges"),),
    "After `open()` fstat is exact": (
        ("mount/test_listing.py", "test_sizes_before_and_after_open"),
        (BYTES, "test_size_lies_both_ways"),
    ),
    "No system call of up to 128 KiB takes longer than `--timeout`": (
        (NETWORK, "test_stalled_head"),
        (NETWORK, "test_stalled_body"),
        (NETWORK, "test_slow_drip"),
    ),
    "No lookup waits for the network": (
        ("fuse/test_promised_names.py", "test_no_lookup_waits"),
        ("fuse/test_promised_names.py", "test_a_number_is_looked_up_before_it_is_rung"),
        ("mount/test_promises.py", "test_programs_see_no_difference"),
        ("mount/test_promises.py", "test_what_hangs_delays_no_other"),
    ),
    "Not found is ENOENT": (
        (ANSWERS, "test_listed_object_is_gone"),
        (ANSWERS, "test_refused_object"),
        (NETWORK, "test_stalled_head"),
        (OFFLINE, "test_a_service_that_refuses_connections"),
        (BYTES, "test_object_replaced_between_ranges"),
        (ANSWERS, "test_bursts_of_5xx"),
        (ANSWERS, "test_malformed_bodies"),
    ),
    "No program ever meets EAGAIN": (
        ("fuse/test_errnos.py", "test_no_errno_makes_programs_loop"),
        (BEHAVING, "test_everything_that_writes_is_refused_as_read_only"),
    ),
    "A failing file or folder disturbs no other": (
        (BEHAVING, "test_a_failing_recording_disturbs_no_other"),
        ("faults/test_bystanders.py", "test_a_hundred_hanging_readers_delay_nobody"),
        ("mount/test_mount_services.py", "test_status_while_the_origin_hangs"),
    ),
    "No passing fault is remembered longer than 5 s": (
        (NETWORK, "test_error_is_not_cached"),
        (NETWORK, "test_name_does_not_resolve"),
        (OFFLINE, "test_a_network_that_swallows_everything"),
    ),
    "Only 404 and 410 make a name absent": (
        (ANSWERS, "test_transient_is_never_absent"),
        ("faults/test_refused_credentials.py", "test_v1_alone_answers_while_v2_refuses"),
    ),
    "A service that refuses the credentials": (
        ("faults/test_refused_credentials.py", "test_refused_while_it_was_mounted"),
        (ANSWERS, "test_refused_account"),
    ),
    "Bytes that were read once cost no request": (("mount/test_disk.py", "test_remount_without_the_network"),),
    "Damaged, cut, foreign or removed cache files": (
        (STORAGE, "test_damaged_cache"),
        (STORAGE, "test_cache_folder_full"),
        (STORAGE, "test_cache_folder_fails"),
        (STORAGE, "test_cache_folder_vanished"),
    ),
    "After `kill -9` at any moment": (
        (ENDS, "test_kill_9"),
        ("faults/test_crash_points.py", "test_a_few_crash_points"),
    ),
    "Ctrl-C, SIGTERM and `cffs umount --lazy`": ((ENDS, "test_signals_with_open_files"),),
    "A closed laptop": ((NETWORK, "test_suspend"), (ENDS, "test_clock_jump")),
    "The mount is `ro,nosuid,nodev,noexec`": (
        (BEHAVING, "test_mount_table_entry"),
        (BEHAVING, "test_everything_that_writes_is_refused_as_read_only"),
    ),
    "With it an upload is one request": (
        ("mount/test_uploads.py", "test_each_program_sends_once"),
        ("mount/test_uploads.py", "test_what_the_service_refuses"),
    ),
    "Nothing is sent for": (
        ("mount/test_uploads.py", "test_what_is_never_sent"),
        ("mount/test_uploads.py", "test_a_full_spool"),
        ("mount/test_uploads.py", "test_a_killed_writer_sends_nothing"),
        ("mount/test_uploads.py", "test_what_a_killed_mount_left"),
    ),
    "A credential and a telephone call are one request": (
        ("mount/test_every_operation.py", "test_every_operation_of_the_documents"),
        ("mount/test_credentials_and_caller_ids.py", "test_a_lost_answer_is_eio_and_one_line"),
        ("callfire/test_acts.py", "test_every_act_is_sent_once"),
    ),
    "A file of up to 512 KiB costs one request": (
        (READING, "test_a_small_file_costs_one_request"),
        (READING, "test_a_hundred_readers_fetch_one_copy"),
    ),
    "A recording of up to 16 MiB costs at most five requests": (
        ("speed/test_recordings.py", "test_any_pattern_is_a_handful_of_requests"),
        ("mount/test_recordings.py", "test_a_handful_of_requests"),
    ),
    "Names that file managers probe by habit": ((BEHAVING, "test_names_that_are_none"),),
    "Keys and passwords go to the configured service only": (
        (ANSWERS, "test_redirect_to_another_host"),
        (BEHAVING, "test_own_files_are_honest"),
    ),
    "A note is whole": (
        ("mount/test_notes.py", "test_notes_outlive_the_mount"),
        ("mount/test_notes.py", "test_any_way_of_writing"),
    ),
    "Plain http to another machine": (("core/test_settings.py", "test_refusals"),),
    "`callfire://` gives the bytes": (
        (UNMOUNTED, "test_paths_of_every_kind"),
        (UNMOUNTED, "test_threads_share_one_fetch"),
        (UNMOUNTED, "test_statuses_are_errors_of_python"),
        (UNMOUNTED, "test_timeout_is_timeout_error"),
        (UNMOUNTED, "test_unreachable_service"),
        (UNMOUNTED, "test_replaced_object_is_read_whole"),
        ("fsspec_plugin/test_tree_loop.py", "test_forked_child_starts_its_own_thread"),
        ("fsspec_plugin/test_tree_loop.py", "test_processes_of_a_pool"),
    ),
    "No credential is in a storage option": (
        ("fsspec_plugin/test_storage_options.py", "test_credentials_are_refused"),
        (UNMOUNTED, "test_instances_are_shared_and_pickle_as_their_options"),
        (UNMOUNTED, "test_refused_credentials"),
    ),
    "With `--rate` no span": (
        ("callfire/test_departure_log.py", "test_no_span_holds_more_than_the_limit"),
        ("callfire/test_rate.py", "test_ten_clients_for_a_minute"),
        ("callfire/test_rate.py", "test_demand_overtakes_background_work_everywhere"),
        ("mount/test_rate.py", "test_many_programs_keep_to_the_rate"),
    ),
    "With `--shared` one machine": (
        ("mount/test_shared_mounts.py", "test_three_mounts_cost_one_copy"),
        ("mount/test_shared_mounts.py", "test_mounts_read_on_whatever_the_server_does"),
        ("shared/test_shared_opener.py", "test_no_schedule_gives_a_wrong_byte"),
        ("shared/test_sharing_chaos.py", "test_a_network_that_lies"),
        ("shared/test_answers.py", "test_one_machine_asks"),
    ),
    "A shared server that does not answer": (
        ("shared/test_server.py", "test_a_frozen_server_costs_one_call"),
        ("shared/test_server.py", "test_killed_and_restarted_empty"),
        ("shared/test_breaker.py", "test_a_server_that_answers_tries_alone_is_asked_rarely"),
        ("mount/test_rate.py", "test_two_mounts_have_one_rate"),
    ),
    "With both, all machines": (
        ("shared/test_request_rate.py", "test_together_they_keep_to_the_rate"),
        ("shared/test_request_rate.py", "test_never_above_when_the_server_dies_and_comes_back"),
        ("shared/test_rate_share.py", "test_never_above_when_the_server_goes"),
        ("mount/test_rate.py", "test_two_mounts_have_one_rate"),
    ),
}


def lines() -> list[str]:
    """The promises, as the document states them."""
    section = SEMANTICS.read_text().partition("## Promises\n")[2].partition("\n## ")[0]
    return re.findall(r"^\* (.*)$", section, re.MULTILINE)


@cache
def found_in(file: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The tests in a file, by name."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: node for node in found if node.name.startswith("test_")}


def test_lines_and_tests_are_equal():
    """Each line begins as exactly one row here does, each row is a line, and a line is one line."""
    stated = lines()
    assert [[row for row in PROMISES if line.startswith(row)] for line in stated] == [[row] for row in PROMISES]
    assert [line for line in stated if len(line) + 2 > MOST_CHARACTERS or not line.endswith(".")] == []
    text = SEMANTICS.read_text()
    assert all(f"* {line}\n  " not in text for line in stated), "a promise is one line"


def test_each_is_executed():
    """The tests exist, say what they hold, and run in every `scripts/test`: none is slow or skipped."""
    for row, tests in PROMISES.items():
        assert tests, row
        for file, name in tests:
            node = found_in(file).get(name)
            assert node is not None, f"{row}: no {name} in {file}"
            assert ast.get_docstring(node), name
            marks = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
            assert "mark.slow" not in marks, name


def test_the_front_page_repeats_ten_of_them():
    """The README shows ten of the promises, word for word."""
    section = (ROOT / "README.md").read_text().partition("## Promises\n")[2].partition("\n## ")[0]
    shown = re.findall(r"^\* (.*)$", section, re.MULTILINE)
    assert len(shown) == 10
    assert set(shown) <= set(lines())
