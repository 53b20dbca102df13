"""The embedded CallFire: both APIs over real HTTP on loopback.

It serves the demo, and tests that need bytes on a wire. It owns an account that is computed from a seed, the operations
of both documents, and faults by name. It must not know the client, the tree or the kernel: it imports `cffs.core` only.

Floors inside, each importing only those before it: `audio`, `codecs`, `media_files`, `generated_rows`; `objects`,
`media_store`, `me`, `call_filter`, `overrides`, `call_store`; `account`, `growing_call`, `office_account`; `answers`,
`multipart`; `v1`, `v2` and its parts; `exchange`; `request_receiver`, `fault_target`, `fault_effects_*`, `faults`,
`wire`; `request_log`, `server`; `thread`, `run`.
"""
