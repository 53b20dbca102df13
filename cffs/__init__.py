"""cffs, the CallFire file system: call recordings and media of an account as files.

The floors; a folder imports only from folders below it (import-linter holds that):

    cli/        commands, messages, progress; talks to a daemon by .cffs/ and signals
    daemon/     the mount's life: object graph, nursery, signals, logs, status
    fuse/       the kernel's dialect: operations, attributes, handles, errnos, invalidation
    tree/       the namespace: route table, inodes, rendered files            (writes no SQL)
    reader/     the bytes of one remote object: read-ahead, fetches, remote file
    writer/     what the account is asked to make or do: uploads and their spool, acts      (beside reader)
    catalog/    what is known of the account: rows, questions to the API, learned facts
    cache/      bytes in memory, within a budget                  (knows no HTTP, no FUSE)
    callfire/   the service: transport (the only importer of httpx), checks, retry, clients
    standin/    an embedded CallFire over real HTTP, for the demo and the tests
    core/       values, byte ranges, names, wire formats -> values, settings, exceptions

One read is a call stack, straight down; every decision is a pure function; every `await` sits in a thin shell.
"""

__version__ = "0.1.0"
