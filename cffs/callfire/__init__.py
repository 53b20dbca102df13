"""The service: everything that is said to CallFire's two APIs, and every check of what they answer.

It owns requests, credentials on their way out, retries, holds and the health of each API; it must not know the tree,
the catalogue, the cache or the kernel. The reader takes bytes from it, the catalogue takes facts, the writer acts.

Floors inside: targets, checks, retry, health, keyring, stats, gate (no I/O) <- wire/ <- asking <- line, ranges
<- transport <- v1, v2, v2_me <- operations. Only `wire/` imports httpx.
"""
