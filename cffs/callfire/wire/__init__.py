"""The wire: one request and its answer over httpx's transport interface, redirects and foreign exceptions included.

It owns sockets, TLS, address checks and the translation of httpx's exceptions; it must not know retries, health,
what a good answer is, or any client above. Only `callfire/transport` calls it; any `httpx.AsyncBaseTransport` fits.
"""
