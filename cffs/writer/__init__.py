"""The writer owns what the account is asked to make or to do: uploads with their spool, credentials, caller ids.

It must not know FUSE, paths, inodes or the reader. `tree/` creates, writes, renames and ends through it; it acts
through `catalog/`'s account and tells it what there is now.

* Nothing is sent that nobody asked for: no open without a write, no rest of an earlier life, no second try.
* One upload is sent once, by whoever closes last; whoever closes meanwhile gets the same end.
* A spool file is 0600 in the account's folder, and never becomes what is read as the service's object.
"""
