"""The table of faults: what goes wrong, and what cffs promises then.

It owns the list alone. Each row has a test of its name in `test_rows_*.py`, and `test_guard` compares the two.
cffs/docs/architecture.md#faults shows the table, and says where the faults come from.
"""

from typing import Final

ROWS: Final[dict[str, str]] = {
    # -- the bytes of an answer (test_rows_bytes) --
    "reset_before_the_answer": "retried; persistent: EIO",
    "reset_in_the_body": "resumed at the verified byte; persistent: EIO",
    "truncated_with_length": "resumed; never a short file",
    "truncated_close_delimited": "an end that only a closed connection marks is confirmed; never a short file",
    "truncated_chunked": "resumed; never a short file",
    "content_range_wrong": "rejected, asked once more, EIO; nothing enters the cache",
    "content_range_missing": "rejected, asked once more, EIO; nothing enters the cache",
    "longer_than_asked": "rejected, asked once more, EIO; nothing enters the cache",
    "whole_object_for_a_range": "legal: the slice is taken; never the head in the place of the slice",
    "range_not_satisfiable": "EIO; ESTALE where the size changed",
    "error_page_with_200": "EIO, never data, be it HTML or JSON",
    "object_replaced_between_ranges": "ESTALE for the handle, the new version whole for the next open; never a mix",
    "size_lies_both_ways": "bytes and fstat are the origin's, whatever the list said",
    "coded_range": "EIO for any content coding of a range",
    "decompression_bomb": "EIO, and the memory stays where it was",
    # -- answers that say no (test_rows_answers) --
    "busy_429": "every kind of Retry-After holds the API back, at most 60 s; beyond the deadline EIO at once",
    "bursts_of_5xx": "ridden out; persistent: EIO after at most four tries",
    "refused_object": "401 or 403 for one object: EACCES, asked once, no other object concerned",
    "refused_account": "auth-failed: EACCES, no retry, cached reads go on, at most a request a minute",
    "listed_object_is_gone": "ENOENT at open, ESTALE or EIO for an open handle, and the name disappears",
    "transient_is_never_absent": "a failed lookup is EIO, never ENOENT, and nothing of it is remembered",
    "malformed_bodies": "EIO for broken JSON and XML, the wrong charset, bytes that are no HTTP; no bug",
    "huge_headers": "EIO, at once",
    "redirect_loop": "EIO after at most five hops",
    "redirect_to_another_host": "followed without key, password or referrer",
    # -- silence and the network (test_rows_network) --
    "stalled_head": "ETIMEDOUT within --timeout",
    "stalled_body": "ETIMEDOUT within --timeout, or the rest by another request",
    "slow_drip": "ETIMEDOUT within --timeout, of the body and of the head",
    "name_does_not_resolve": "EHOSTUNREACH at once; works within 5 s of the name's return",
    "untrusted_tls": "no request, no secret, no fallback; the mount's own files answer",
    "error_is_not_cached": "after the fault the same descriptor reads right within 5 s",
    "suspend": "after a sleep with all connections gone the first read is answered within --timeout",
    "suspend_for_real": "after a sleep of 90 real seconds as well (a slow test)",
    # -- folders of ours (test_rows_storage) --
    "killed_while_writing_the_cache": "the next mount serves no torn block",
    "cache_folder_full": "ENOSPC of bytes and of inodes: reads go on",
    "cache_folder_fails": "EIO of the disk: reads go on",
    "cache_folder_read_only": "reads go on",
    "cache_folder_vanished": "reads go on",
    "state_folder_full": "names and bytes as before",
    "damaged_cache": "flipped, cut, zeroed, swapped and foreign files are never served",
    "two_mounts_one_cache": "the second exits 1 and names the first",
    # -- time, ends, people (test_rows_ends) --
    "clock_jump": "ten years either way: no hang, nothing wrong, nothing stays without end",
    "signals_with_open_files": "SIGTERM and SIGINT: readers end in error, the mount point is free in 2 s, status 0",
    "unmount_while_busy": "refused, and the mount keeps serving",
    "kill_9": "ENOTCONN at once; the next mount clears up, catalogue and cache whole",
    "out_of_memory": "the kernel's kill is kill -9: the next mount works",
    "signal_on_a_blocked_read": "the reader is gone within --timeout",
    "mmap_under_a_stall": "SIGBUS where read would get an errno, within --timeout",
    # -- load (test_rows_load) --
    "many_readers": "64 readers are right, and stat answers meanwhile",
    "ten_thousand_opens": "no descriptor for each, under 20 MB in all",
    "descriptors_exhausted": "errors at most; the daemon lives and recovers",
}
"""Name to promise; the test is `test_` and the name."""

OF_WRITING: Final[dict[str, tuple[str, str]]] = {
    "partial_upload": ("tests/mount/test_uploads.py", "test_what_the_service_refuses"),
    "rm_of_a_credential": ("tests/mount/test_credentials_and_caller_ids.py", "test_credentials_as_people_use_them"),
    "staging_full": ("tests/mount/test_uploads.py", "test_a_full_spool"),
    "act_sent_twice": ("tests/mount/test_credentials_and_caller_ids.py", "test_a_lost_answer_is_eio_and_one_line"),
}
"""Rows that count with --writable only, and the tests, beside the others of writing, that are theirs."""
