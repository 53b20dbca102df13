"""The wire: one request and its answer, over httpx's transport interface.

There are two implementations of that interface (`--wire`). "stock" is httpx's own transport with our address checks
(`httpx_transport`). "own" is ours, because stock moves bodies at a quarter of curl's speed and TLS at a third:
`sockets` (with the TLS pump), `http1` (heads parsed by h11, bodies counted and received into the caller's buffer) and
`pool`, under 600 lines together. Every test that uses a real socket runs on both.

It owns sockets, TLS, address checks, redirects and the translation of httpx's exceptions. It must not know retries,
health, or what a good answer is.
"""
