"""The CallFire file system: call recordings and media of an account as files.

The floors. A package imports only from packages below it; import-linter holds that.

    fsspec_plugin/ the same tree without a mount, as fsspec's protocol `callfire`
    cli/        commands, messages, progress; reaches a running mount by its control socket and .cffs/
    daemon/     a mount's life: assembly, start and end, control socket, logs, status, audit log
    fuse/       the kernel's dialect: operations, attributes, handles, errnos, invalidation
    tree/       the namespace: route table, nodes, inodes, listings, rendered files (no SQL but that of searches)
    reader/     the bytes of one remote object: read-ahead and its policy, downloads
    writer/     uploads and their spool, credentials, caller ids                          (beside reader)
    notes/      notes beside recordings, kept on this machine, and an index of their words (beside reader)
    shared/     what the machines of one account share through a Redis server
    catalog/    what is known of the account: rows, listings, learned facts, questions to the service
    cache/      verified bytes, in memory and on disk                                     (no HTTP, no FUSE)
    callfire/   the service: requests, retries, health, checks; wire/ holds HTTP          (beside cache)
    standin/    an embedded CallFire over real HTTP, for the demo and the tests           (beside cache)
    core/       values: ids, byte ranges, names, times, settings, parsers of both APIs, exceptions

One read is a call stack straight down to a fetch, which a task of its own receives; every decision is a pure function;
every `await` sits in a thin shell. The glossary, the trips through the floors and the decisions with their reasons are
in cffs/docs/architecture.md.
"""

__version__ = "0.2.0"
