"""The writer: what the account is asked to make or to do.

Owns uploads with their spool, credentials, and caller ids. It must not know FUSE, paths, inodes or the reader. It acts
through `catalog/`'s account, and writes into the catalogue what there is now.

* Nothing is sent that was not asked for: no open without a write, no rest of an earlier mount, no second attempt.
* One upload is sent once, by its last close; a close that comes meanwhile gets the same result.
* A spool file has mode 0600, lies in the account's folder, and is never read as the service's object.
"""
