"""What machines of one account share through a Redis or Valkey server.

That is the rate, holds, and a stream of new recordings. The server is an accelerator and a counter: whatever it does
costs no byte and no error, and a call to it ends in 50 ms.

Owns every word that is said to the server. It must not know HTTP, FUSE, paths, or what a mount is. It is imported only
where `--shared` is given: see cffs/docs/sharing.md#the-server.
"""
