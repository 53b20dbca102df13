"""The daemon asks whoever started it to mount, and is handed the kernel's end: the two halves of that conversation.

It must not know how one mounts. The request is a report like the others, so that the starter hears both in one place;
the answer is one message with two descriptors on the same socket.
"""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict

from cffs.core.errors import UsageError
from cffs.daemon.mounting import Connection, Known
from cffs.daemon.report import Report

_ANSWER_NBYTES = 65_536


def ask_starter(report: Callable[[Report], None], channel: int) -> Connection:
    """The mount that the starter makes for us; `report` writes to `channel`, a socket. Waits for it. Raises UsageError
    where the starter is gone, or could not mount (it says why itself)."""
    report(Report.mount())
    with socket.socket(fileno=os.dup(channel)) as answers:
        try:
            told, descriptors, _flags, _address = socket.recv_fds(answers, _ANSWER_NBYTES, 2, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise UsageError(f"whoever started this mount did not answer: {error.strerror}") from error
    if len(descriptors) != 2:
        raise UsageError("whoever started this mount is gone")
    descriptor, root = descriptors
    return Connection(descriptor=descriptor, root=root, known=Known(**json.loads(told)))


def hand_over(connection: Connection, channel: int) -> None:
    """Give the mount to the one who asked, and keep nothing of it open. Raises OSError where that one is gone."""
    try:
        with socket.socket(fileno=os.dup(channel)) as answers:
            told = json.dumps(asdict(connection.known)).encode()
            socket.send_fds(answers, [told], [connection.descriptor, connection.root])
    finally:
        connection.close()
