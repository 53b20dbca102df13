"""The request of a daemon to be mounted: asked of its starter.

The daemon is sent the kernel's end. Owns both halves of that conversation. The request is a report like the others, so
that the starter reads both from one place; the answer is one message on the same socket, with the descriptors. It must
not know how a mount is made.
"""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict

from cffs.core.errors import UsageError
from cffs.daemon.mounting import Connection, MountIdentity
from cffs.daemon.report import Report

_ANSWER_NBYTES = 65_536


def ask_starter(report: Callable[[Report], None], channel: int) -> Connection:
    """Wait for the mount that the starter makes for us. `report` writes to `channel`, a socket. Raises UsageError where
    the starter is gone, or could not mount (and says why itself)."""
    report(Report.mount())
    with socket.socket(fileno=os.dup(channel)) as answers:
        try:
            answer, descriptors, _flags, _address = socket.recv_fds(answers, _ANSWER_NBYTES, 2, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise UsageError(f"the command that started this mount did not answer: {error.strerror}") from error
    if not descriptors:
        raise UsageError("the command that started this mount is gone")
    descriptor, root = descriptors if len(descriptors) == 2 else (descriptors[0], -1)
    return Connection(descriptor=descriptor, root=root, identity=MountIdentity(**json.loads(answer)))


def hand_over(connection: Connection, channel: int) -> None:
    """Send the mount to the daemon that asked for it, and keep nothing of it open. Raises OSError where the daemon is
    gone."""
    try:
        with socket.socket(fileno=os.dup(channel)) as answers:
            answer = json.dumps(asdict(connection.identity)).encode()
            descriptors = [number for number in (connection.descriptor, connection.root) if number >= 0]
            socket.send_fds(answers, [answer], descriptors)
    finally:
        connection.close()
