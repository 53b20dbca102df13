"""The service over HTTP: requests to its two APIs, and checks of the answers.

It owns requests, credentials on their way out, retries, limits, and the health of each API. It must not know the tree,
the catalogue, the cache or the kernel.

Floors inside, each importing downwards only: `url_policy`, `path_patterns`, `request`, `response_checks`, `retry`,
`health`, `keyring`, `stats`, `request_limiter` (no I/O) <- `wire/` <- `request_loop`, `status_reader`, `range_response`
<- `session` <- `transport` <- `v1`, `v2`, `credential_check`; `operations` is the table of what the clients ask. Only
`wire/` imports httpx. What is known about the service itself is in cffs/docs/service.md.
"""
