"""The embedded CallFire: both APIs over real HTTP on loopback, for the demo and for tests that want bytes on a wire.

It owns an account that is computed from a seed, the operations of both documents, and misbehaviour by name; it must
not know the client, the tree or the kernel (only `cffs.core` may be imported). The commands `demo` and `standin` and
the tests call it.

Floors inside, each importing only those before it:
audio, codecs, media_files, rows; objects, library, me, call_filter, changes, call_book; account; answers, forms;
v1, v2 and its parts; exchange; reception, bending, mischief_*, faults, wire; server; thread, run.
"""
