"""The service over HTTP: requests to its two APIs, and checks of the answers.

It owns requests, credentials on their way out, retries, limits, and the health of each API. It must not know the tree,
the catalogue, the cache or the kernel.

Floors inside, each importing downwards only (`pyproject.toml`), from the top:

    operations          the table of what the clients ask
    credential_check
    v1, v2
    metadata_transport
    multipart, transport
    session
    request_loop, status_reader, range_body, credential_refresh
    wire/
    keyring, request, request_limiter, response_checks, retry, health, stats,
    rate, departure_log                                                             (no I/O)
    url_policy, path_patterns                                                       (no I/O)

Only `wire/` imports httpx. What is known about the service itself is in cffs/docs/service.md.
"""
