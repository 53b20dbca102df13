"""The core owns the values every other floor speaks in: ids, byte ranges, names, settings, wire formats, exceptions.

It must not know I/O, clocks, async or logging: a test of it needs no fixture.
Every floor above imports it.
"""
