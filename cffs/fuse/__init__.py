"""The kernel's dialect: operations, attributes, handles, errnos, invalidation.

It must not know HTTP, SQL or how names are resolved: it turns the kernel's calls into calls of `tree/` and `reader/`,
and what those raise into one errno. Beside daemon/, no other package imports pyfuse3.

Facts that shape it (measured with pyfuse3 3.5 and kernel 6.18; see `cffs/docs/performance.md#fuse-limits`):
* half of a small call's time is waking up for it: `pyfuse3_loop` decides how pyfuse3's tasks wait;
* handlers run concurrently, but lookups and listings of one folder come one after the other;
* a handler that raises anything but FUSEError ends the whole mount, so `guard` stands around every one;
* a blocked caller cannot be interrupted through pyfuse3, so whatever waits has a deadline (`guard` has the kinds), for
  most half the promised time (the kernel asks a failed page a second time);
* `flush` must never answer ENOSYS: one such answer ends FLUSH for the whole mount.
"""
