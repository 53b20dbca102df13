"""The lowest floor: pure values and parsers that every other floor shares.

It owns ids, byte ranges, names, settings, the service's documents, media types and the exceptions. It must not know
I/O, clocks, async or logging: a test of it needs no fixture.
"""
