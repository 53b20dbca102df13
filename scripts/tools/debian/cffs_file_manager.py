# ruff: noqa: S603  # it starts cffs, and a window of its own, by fixed argument lists
"""An extension for Nautilus, Nemo and Caja: columns, an emblem, menu entries.

The three have Python bindings with one interface; this file is all of the extension for each of them. It runs inside
the file manager, on the system's Python: it imports the standard library and gi, and nothing of cffs.

The window must never wait. So no file of a mount is opened or looked at. Which folder lies in a mount is read from the
kernel's mount table, and what is shown of its files is asked of the mount's control socket, a folder at a time, while
the file manager's main loop goes on: it calls back when an answer can be read. A thread would not do, because the
bindings keep Python's lock between their calls: one that printed every 100 ms got one turn in 6 s, under Nautilus 43.
A file that is asked about before its folder's answer is here gets nothing, and is asked about again after it: the
interface for late answers hands out no handle in Nautilus 43, so a closed window could not take its question back.

Where no cffs is mounted the extension reads the mount table every two seconds, at most, and does nothing else.
"""

import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

#: Where the file was started as a program: it shows a text (`show`), in a process of its own.
IS_PROGRAM = __name__ == "__main__"
if not IS_PROGRAM:
    from gi.repository import GLib, GObject

    #: The binding of the file manager that reads this file; it is imported before any extension.
    FILE_MANAGER = next(
        sys.modules[name]
        for name in ("gi.repository.Nautilus", "gi.repository.Nemo", "gi.repository.Caja")
        if name in sys.modules
    )

#: The control socket's protocol: see cffs/daemon/control_wire.py.
PROTOCOL = 1
FILE_SYSTEM = "fuse.cffs"
#: Within this time a daemon answers from memory; one that does not is left alone for a while.
ANSWER_MS = 2000
SILENT_SECONDS = 15.0
#: How long facts are shown without being asked for again.
FRESH_SECONDS = 5.0
TABLE_SECONDS = 2.0
#: What one turn of the main loop may take of the window's time, in this file's hands.
TURN_SECONDS = 0.008
MOST_FOLDERS, MOST_FILES = 50, 20_000
LARGEST_ANSWER_NBYTES = 1 << 22
#: Of what a command said, its end.
LONGEST_TEXT = 4000
#: What a socket's address has room for (unix(7)), and struct ucred.
LONGEST_PATH_NBYTES = 107
PEER = struct.Struct("3i")

COLUMNS = {
    "cffs_number": ("Number", "The other party of the call"),
    "cffs_date": ("Recorded", "When the recording was made"),
    "cffs_length": ("Length", "How long the recording is"),
    "cffs_labels": ("Labels", "The labels of the call"),
}
#: Shown as the icon `emblem-default`, a check mark.
EMBLEM = "default"


class Mount:
    """A line of the mount table."""

    def __init__(self, fields):
        dash = fields.index("-", 6)
        self.device = fields[2]
        self.root, self.mountpoint = (unescaped(text) for text in fields[3:5])
        self.is_cffs = fields[dash + 1] == FILE_SYSTEM

    def covers(self, path):
        """True where the path lies in it, unless another mount lies on top."""
        inside = self.mountpoint.rstrip("/") + "/"
        return path == self.mountpoint or path.startswith(inside)


def unescaped(text):
    """A path of the mount table, where blanks are written as octal numbers."""
    for code in ("\\040", "\\011", "\\012", "\\134"):
        text = text.replace(code, chr(int(code[1:], 8)))
    return text


class MountTable:
    """The mounts, read again after a while."""

    def __init__(self, path="/proc/self/mountinfo"):
        self._path = path
        self._mounts = []
        self._has_cffs = False
        self._read_at = None

    def place_of(self, path):
        """The cffs mount that a path lies in, and its path below the mount's root; None where it lies in none."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at > TABLE_SECONDS:
            self._read_at = now
            self._mounts = self._read()
            self._has_cffs = any(mount.is_cffs for mount in self._mounts)
        if not self._has_cffs:
            return None
        found = None
        for mount in self._mounts:
            if mount.covers(path) and (found is None or len(mount.mountpoint) >= len(found.mountpoint)):
                found = mount
        if found is None or not found.is_cffs:
            return None
        below = os.path.relpath(path, found.mountpoint)
        return found, os.path.normpath(os.path.join(found.root, below)).lstrip("/")

    def _read(self):
        try:
            with open(self._path, encoding="utf-8", errors="surrogateescape") as table:
                return [Mount(line.split()) for line in table]
        except (OSError, ValueError, IndexError):
            return []


def socket_paths(mount):
    """Where the control socket of a mount may be, the likeliest first: its name is made of the mount point."""
    name = f"mount-{hashlib.sha256(os.fsencode(mount.mountpoint)).hexdigest()[:16]}.sock"
    home = os.path.expanduser("~")
    runtime, cache = os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("XDG_CACHE_HOME")
    for folder in (runtime, f"/run/user/{os.getuid()}", cache, f"{home}/.cache"):
        if folder:
            yield f"{folder}/cffs/{name}"
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as sockets:
            for line in sockets:
                if line.rstrip("\n").endswith(f"/{name}"):
                    yield "/" + line.rstrip("\n").partition("/")[2]
    except OSError:
        return


def connected(path):
    """A socket to who listens there, where that is this user or root; None otherwise. Never waits."""
    try:
        folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        # through the descriptor where the path is too long for an address
        is_short = len(os.fsencode(path)) <= LONGEST_PATH_NBYTES
        connection.connect(path if is_short else f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        _pid, uid, _gid = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
        if uid in (0, os.getuid()):
            return connection
    except OSError:
        pass
    finally:
        os.close(folder)
    connection.close()
    return None


class Question:
    """Asks a mount about one folder, page by page, from the main loop; `done(files)` is called once, with None where
    no daemon answers."""

    def __init__(self, mount, folder, done):
        self._mount, self._folder, self._done = mount, folder, done
        self._paths = socket_paths(mount)
        self._connection = None
        self._watch = self._limit = None
        self._unread = b""
        self._files = {}
        self._try_next()

    def _try_next(self):
        self._hang_up()
        for path in self._paths:
            self._connection = connected(path)
            if self._connection is not None:
                events = GLib.IOCondition.IN | GLib.IOCondition.HUP | GLib.IOCondition.ERR
                number = self._connection.fileno()
                self._watch = GLib.io_add_watch(number, GLib.PRIORITY_DEFAULT_IDLE, events, self._readable)
                self._ask("hello", {})
                return
        self._done(None)

    def _ask(self, command, arguments):
        if self._limit is not None:
            GLib.source_remove(self._limit)
        self._limit = GLib.timeout_add(ANSWER_MS, self._too_late)
        message = {"version": PROTOCOL, "command": command, "arguments": arguments}
        try:
            self._connection.send(json.dumps(message).encode() + b"\n")
        except OSError:
            return  # it hung up, or is stuck: the watch or the limit says so

    def _too_late(self):
        self._limit = None
        self._hang_up()
        self._done(None)
        return False

    def _readable(self, *_):
        try:
            piece = self._connection.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            piece = b""
        self._unread += piece
        if not piece or len(self._unread) > LARGEST_ANSWER_NBYTES:
            self._watch = None
            self._try_next()
            return False
        line, end, self._unread = self._unread.partition(b"\n")
        if not end:
            self._unread = line
            return True
        watch = self._watch
        self._answered(line)
        return self._watch is watch

    def _answered(self, line):
        """A line has come; the watch is None afterwards where no more is expected of this connection."""
        try:
            result = json.loads(line)["result"]
            if "device" in result:
                if result["device"] != self._mount.device or "known" not in result["commands"]:
                    raise ValueError("another mount's daemon, or an older one")
                self._ask("known", {"folder": self._folder, "after": 0})
                return
            self._files.update(result["files"])
            after = result["after"]
        except (ValueError, KeyError, TypeError, AttributeError):
            self._watch = None
            self._try_next()
            return
        if after is not None and len(self._files) < MOST_FILES:
            self._ask("known", {"folder": self._folder, "after": after})
            return
        self._watch = None
        self._hang_up()
        self._done(self._files)

    def _hang_up(self):
        for source in (self._watch, self._limit):
            if source is not None:
                GLib.source_remove(source)
        self._watch = self._limit = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._unread = b""


class Folder:
    """What is known of the files of one folder."""

    def __init__(self):
        self.files = None
        self.asked_at = float("-inf")
        self.is_asked = False
        #: Files that were shown with other facts, or none, while the question was on its way, by their names.
        self.shown = {}


class Folders:
    """The folders that were looked at last, and the questions about them."""

    def __init__(self):
        self._folders = {}
        self._silent_until = {}

    def facts_of(self, mount, folder, name, file):
        """The facts of a file as far as they are here; where they are old or missing its folder is asked about, and the
        file manager is had to look again at `file` if the answer has others."""
        key = (mount.device, folder)
        known = self._folders.pop(key, None) or Folder()
        self._folders[key] = known  # the newest is the last
        while len(self._folders) > MOST_FOLDERS:
            del self._folders[next(iter(self._folders))]
        now = time.monotonic()
        if not known.is_asked and now - known.asked_at > FRESH_SECONDS and now > self._silent_until.get(key[0], 0.0):
            known.is_asked = True
            Question(mount, folder, lambda files: self._came(key[0], known, files))
        facts = (known.files or {}).get(name)
        if known.is_asked:
            known.shown[name] = (file, facts)
        return facts

    def forget(self, mount, folder):
        """Ask again at the next look."""
        known = self._folders.get((mount.device, folder))
        if known is not None:
            known.asked_at = float("-inf")

    def _came(self, device, known, files):
        known.is_asked = False
        known.asked_at = time.monotonic()
        if files is None:
            self._silent_until[device] = time.monotonic() + SILENT_SECONDS
            known.shown.clear()
            return
        known.files = files
        waiting = [file for name, (file, facts) in known.shown.items() if files.get(name) != facts]
        known.shown.clear()
        if waiting:
            GLib.idle_add(self._show, known, waiting)

    def _show(self, known, waiting):
        """Have the file manager look again, for as long as a turn may take; the rest at the next turn."""
        began_at = time.monotonic()
        while waiting and time.monotonic() - began_at < TURN_SECONDS:
            waiting.pop().invalidate_extension_info()
        known.asked_at = time.monotonic()
        return bool(waiting)


TABLE, FOLDERS = MountTable(), Folders()


def length(seconds):
    """`0:04:05`, which is sorted as text in the order of time."""
    return "" if seconds is None else f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def path_of(file):
    """The local path of a file that a file manager shows, or None."""
    if file.get_uri_scheme() != "file":
        return None
    return file.get_location().get_path()


def run_cffs(*arguments, ended):
    """Start a command of cffs; `ended(succeeded, output)` is called in the main loop, `output` an open file."""
    output = os.memfd_create("cffs")
    process = subprocess.Popen(
        [shutil.which("cffs") or "/usr/bin/cffs", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )

    def has_ended(_pid, status):
        with os.fdopen(output, "rb") as said:
            said.seek(0)
            ended(status == 0, said)

    GLib.child_watch_add(GLib.PRIORITY_DEFAULT, process.pid, has_ended)
    process.returncode = 0  # the main loop waits for it


def show_in_window(title, said):
    """Show an open file in a window of another process."""
    command = ["/usr/bin/python3", os.path.realpath(__file__), title]
    viewer = subprocess.Popen(command, stdin=said, start_new_session=True)
    GLib.child_watch_add(GLib.PRIORITY_DEFAULT, viewer.pid, lambda *_: None)
    viewer.returncode = 0  # the main loop waits for it


def keep(files, *, is_kept):
    """Bring the files and keep them here, or let them go; their emblems follow when that is done."""
    paths = [path_of(file) for file in files]

    def ended(succeeded, said):
        for file, path in zip(files, paths, strict=True):
            place = TABLE.place_of(path)
            if place is not None:
                FOLDERS.forget(place[0], os.path.dirname(place[1]))
            file.invalidate_extension_info()
        if not succeeded:
            show_in_window("Not kept here" if is_kept else "Not let go", said)

    run_cffs("prefetch", "--pin" if is_kept else "--unpin", "--", *paths, ended=ended)


def explain(path):
    """Show what `cffs why` says of a file."""
    run_cffs("why", "--", path, ended=lambda _succeeded, said: show_in_window(os.path.basename(path), said))


if not IS_PROGRAM:

    class CffsRecordings(
        GObject.GObject, FILE_MANAGER.ColumnProvider, FILE_MANAGER.InfoProvider, FILE_MANAGER.MenuProvider
    ):
        """What the file manager asks."""

        def get_columns(self):
            """The columns that a list view may show."""
            return [
                FILE_MANAGER.Column(name=name, attribute=name, label=label, description=description)
                for name, (label, description) in COLUMNS.items()
            ]

        def update_file_info(self, file):
            """Give what is known of a file of a mount; at once."""
            path = path_of(file)
            place = None if path is None else TABLE.place_of(path)
            if place is not None:
                mount, below = place
                folder, name = os.path.split(below)
                facts = None if file.is_directory() else FOLDERS.facts_of(mount, folder, name, file)
                self._show(file, facts or {})
            return FILE_MANAGER.OperationResult.COMPLETE

        def _show(self, file, facts):
            """Empty columns are given too: Nemo and Caja write "unknown" where one is not."""
            values = {
                "cffs_number": facts.get("number", ""),
                "cffs_date": facts.get("date", ""),
                "cffs_length": length(facts.get("seconds")),
                "cffs_labels": ", ".join(facts.get("labels", ())),
            }
            for name, value in values.items():
                file.add_string_attribute(name, value)
            if facts.get("held") == "full":
                file.add_emblem(EMBLEM)

        def get_file_items(self, *arguments):
            """The menu entries for what is chosen; Nautilus 4 gives the files, the others a window before them."""
            files = arguments[-1]
            paths = [path_of(file) for file in files]
            if not files or any(path is None or TABLE.place_of(path) is None for path in paths):
                return []
            items = [
                self._item("Keep", "Keep Here", "Bring it to this computer, and keep it", keep, files, is_kept=True),
                self._item("LetGo", "Let Go", "Keep it here no longer than there is room", keep, files, is_kept=False),
            ]
            if len(files) == 1 and not files[0].is_directory():
                tip = "Where its size came from, what of it is here, what failed"
                items.append(self._item("Why", "Why?", tip, explain, paths[0]))
            return items

        def get_background_items(self, *_):
            """None for the folder itself."""
            return []

        def _item(self, name, label, tip, action, *arguments, **options):
            item = FILE_MANAGER.MenuItem(name=f"Cffs::{name}", label=label, tip=tip)
            item.connect("activate", lambda *_: action(*arguments, **options))
            return item


def show(title, text):
    """A window with a text, until it is closed."""
    import gi

    for version in ("4.0", "3.0"):
        try:
            gi.require_version("Gtk", version)
            break
        except ValueError:
            continue
    from gi.repository import GLib, Gtk

    if version == "4.0":
        Gtk.init()
    loop = GLib.MainLoop()
    dialog = Gtk.MessageDialog(text=title, secondary_text=text, buttons=Gtk.ButtonsType.CLOSE)
    dialog.connect("response", lambda *_: loop.quit())
    dialog.present()
    loop.run()


if IS_PROGRAM:
    show(sys.argv[1], sys.stdin.buffer.read().decode(errors="replace")[-LONGEST_TEXT:].strip())
