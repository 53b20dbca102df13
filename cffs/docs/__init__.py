"""The documents of cffs, as package data: `cffs help TOPIC` shows them, the README links to them.

It owns every text that is longer than a help line. It must not know code: what is generated from code is written into
the documents by `scripts/documents`, and a guard test holds the two equal.
"""
