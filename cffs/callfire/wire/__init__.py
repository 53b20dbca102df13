"""The wire: one request and its answer over httpx's transport interface, redirects and foreign exceptions included.

It owns sockets, TLS, address checks and the translation of httpx's exceptions; it must not know retries, health,
what a good answer is, or any client above. Only `callfire/` calls it; any `httpx.AsyncBaseTransport` fits.

Two wires fit, `choice` names them. `stock` is httpx's own transport behind the same checks. `own` is ours, because
stock moves bodies at a quarter of curl's speed and TLS at a third: `streams` (sockets, the TLS pump), `http1` (heads by
h11, bodies counted and received into the caller's buffer) and `own` (the pool), under 600 lines together. Every test
that asks a real socket runs on both.
"""
