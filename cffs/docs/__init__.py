"""The documents of cffs, as package data.

It owns every text that is longer than a help line. It must not know code: parts that are generated from code are
written by `scripts/documents`, and guard tests compare them.
"""
