"""Mounts by mount -t cffs, by root for a user, by units and service managers."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cffs.cli.unit import unit_text
from cffs.daemon.mount_table import mount_at
from tests.mount.mounting import ROOT, account_variables, environment, mounted, run

#: An account without a home, as a service's may be; fusermount3 wants to know a name.
UID = GID = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount for another user; runs in mount-root")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the other user can reach (pytest's own are closed), with a cache folder of theirs."""
    folder = Path(tempfile.mkdtemp(prefix="cffs-others-"))
    folder.chmod(0o755)
    try:
        for name in ("mnt", "cache"):
            (folder / name).mkdir(mode=0o700)
            os.chown(folder / name, UID, GID)
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder / "mnt")], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def as_user(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a command as the other user."""
    become = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "--"]
    return subprocess.run([*become, *map(str, command)], capture_output=True, text=True, timeout=60, cwd="/")


def processes(mountpoint: Path) -> tuple[int, int]:
    """The daemon of the mount there, found by its socket, and root's helper, its parent."""
    from cffs.cli.control import ask

    found = mount_at(mountpoint)
    assert found is not None
    pid = ask(found, "hello")["pid"]
    parent = next(
        int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line[:5] == "PPid:"
    )
    return pid, parent


def wait_until(found, *, seconds: float = 10.0) -> None:
    """Wait until `found()` is true."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def mount_for_user(said, home: Path, place: Path, standin, monkeypatch, *options: str) -> Path:
    """Root's mount for the other user; its mount point."""
    monkeypatch.setenv("CFFS_CACHE_DIR", str(place / "cache"))  # where this process looks for the socket
    more = ["--uid", UID, "--gid", GID, "--cache-dir", place / "cache", *options]
    done = run(said, home, "mount", *more, place / "mnt", **account_variables(standin))
    assert done.returncode == 0, done.stderr
    return place / "mnt"


@as_root
def test_the_daemon_becomes_the_user(said, home, standin, place, monkeypatch):
    """Mounted by root with --uid: the daemon has that uid, no other group and no capability, its files are that user's,
    only that user sees the mount, and its read-ahead is set by root all the same."""
    path = mount_for_user(said, home, place, standin, monkeypatch)
    pid, helper = processes(path)
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert told["Uid"].split() == [str(UID)] * 4
    assert told["Gid"].split() == [str(GID)] * 4
    assert told["Groups"].split() == []
    assert {told[name].strip() for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}
    assert as_user("cat", f"/proc/{pid}/environ").returncode != 0, "hardened again after the change of user"
    for folder, _folders, files in os.walk(place / "cache"):
        for name in [folder, *(os.path.join(folder, file) for file in files)]:
            found = os.lstat(name)
            assert (found.st_uid, stat.S_IMODE(found.st_mode) & 0o077) == (UID, 0), name
    assert "campaigns" in as_user("ls", path).stdout
    assert (
        json.loads(run(said, home, "status", "--json", path, CFFS_CACHE_DIR=str(place / "cache")).stdout)["pid"] == pid
    )
    wait_until(lambda: Path(f"/sys/class/bdi/{os.stat(place).st_dev}").exists() or True)
    assert run(said, home, "umount", path, CFFS_CACHE_DIR=str(place / "cache")).returncode == 0
    wait_until(lambda: not Path(f"/proc/{pid}").exists() and not _lives(helper))
    assert mount_at(path) is None


def _lives(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@as_root
def test_that_users_config_and_cache(said, home, standin, place):
    """Mounted by root with --uid alone: config, cache, catalogue and group are those of that user's account, and a
    second mount of it gets pid, mount point and --cache-dir in its error."""
    user_home, uid = place / "home", 54_321
    (user_home / ".config/cffs").mkdir(parents=True)
    names = {name.removeprefix("CFFS_").lower(): value for name, value in account_variables(standin).items()}
    config = user_home / ".config/cffs/config.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in names.items()))
    config.chmod(0o600)
    for path in (user_home, *user_home.rglob("*"), place / "mnt", place / "cache"):
        os.chown(path, uid, uid + 1)
    passwd = place / "passwd"
    passwd.write_text(Path("/etc/passwd").read_text() + f"somebody:x:{uid}:{uid + 1}::{user_home}:/bin/sh\n")
    script = """
set -e
mount --bind "$1" /etc/passwd; shift
"$@" mount --uid 54321 "$PLACE/mnt"
setpriv --reuid 54321 --regid 54322 --clear-groups ls "$PLACE/mnt"
mkdir "$PLACE/other"; chown 54321 "$PLACE/other"
"$@" mount --uid 54321 "$PLACE/other" || echo "status $?"
"$@" umount "$PLACE/mnt"
"""
    own_table = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", passwd]
    done = subprocess.run(
        [*map(str, own_table), sys.executable, "-P", "-m", "cffs.cli"],
        env=environment(home, {"PLACE": str(place)}),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    said.outputs.append(done.stdout + done.stderr)
    assert done.returncode == 0, done.stderr
    assert "campaigns" in done.stdout
    assert done.stdout.endswith("status 1\n")
    (line,) = done.stderr.splitlines()
    assert all(part in line for part in ("(pid ", str(place / "mnt"), "--cache-dir"))
    made = [user_home / ".cache/cffs", user_home / ".local/state/cffs"]
    for folder in (*made, *(below for one in made for below in one.rglob("*"))):
        found = folder.lstat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode) & 0o077) == (uid, uid + 1, 0), folder
    assert not (home / "cache").exists()


@as_root
@pytest.mark.parametrize(
    ("to_helper", "number"), [(True, signal.SIGTERM), (False, signal.SIGTERM), (False, signal.SIGKILL)]
)
def test_every_end_frees_the_mount_point(said, home, standin, place, monkeypatch, to_helper, number):
    """SIGTERM to root's helper or to the daemon, and kill -9 of the daemon: the mount point is free, no process is
    left."""
    path = mount_for_user(said, home, place, standin, monkeypatch)
    pid, helper = processes(path)
    os.kill(helper if to_helper else pid, number)
    wait_until(lambda: mount_at(path) is None and not _lives(pid) and not _lives(helper))
    assert list(path.iterdir()) == []


@as_root
def test_both_killed_and_mounted_again(said, home, standin, place, monkeypatch):
    """With root's helper and the daemon killed, the dead mount stays; the next mount clears it with one line."""
    path = mount_for_user(said, home, place, standin, monkeypatch)
    pid, helper = processes(path)
    os.kill(helper, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not _lives(pid))
    assert mount_at(path) is not None
    more = ["--uid", UID, "--gid", GID, "--cache-dir", place / "cache"]
    done = run(said, home, "mount", *more, path, **account_variables(standin))
    assert (done.returncode, done.stderr) == (0, f"cffs: cleared a dead mount at {path}\n")
    assert run(said, home, "umount", path, CFFS_CACHE_DIR=str(place / "cache")).returncode == 0


@as_root
def test_others_mounts_are_not_listed(said, home, standin, place, monkeypatch):
    """`cffs status` and doctor show one's own mounts; those of other users with --all, or by name."""
    path = str(mount_for_user(said, home, place, standin, monkeypatch))
    variables = {"CFFS_CACHE_DIR": str(place / "cache")}
    assert "--all" in run(said, home, "status", **variables).stdout
    assert path not in run(said, home, "status", **variables).stdout
    assert path in run(said, home, "status", "--all", **variables).stdout
    assert path in run(said, home, "status", path, **variables).stdout
    assert json.loads(run(said, home, "status", "--json", **variables).stdout) == []
    found = json.loads(run(said, home, "doctor", "--json", **variables).stdout)
    assert {line["check"]: line["found"] for line in found}["mounts"] == "none"
    found = json.loads(run(said, home, "doctor", "--json", "--all", **variables).stdout)
    assert path in {line["check"]: line["found"] for line in found}["mounts"]
    with mounted(said, home, account_variables(standin)) as mount:
        shown = run(said, home, "status").stdout
        assert str(mount.path) in shown
        assert path not in shown


@as_root
def test_the_user_may_unmount(said, home, standin, place, monkeypatch):
    """The mount belongs to the user it was made for: fusermount3 lets that user unmount it."""
    path = mount_for_user(said, home, place, standin, monkeypatch)
    pid, _helper = processes(path)
    done = as_user("fusermount3", "-u", path)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not _lives(pid) and mount_at(path) is None)


@as_root
def test_a_mount_point_out_of_reach_is_one_line(said, home, standin, place):
    """A mount point that the user may not reach is refused in one line, and nothing stays mounted."""
    (place / "closed").mkdir(mode=0o700)
    (place / "closed/mnt").mkdir()
    more = ["--uid", UID, "--gid", GID, "--cache-dir", place / "cache"]
    done = run(said, home, "mount", *more, place / "closed/mnt", **account_variables(standin))
    assert done.returncode == 1
    assert "may not reach" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert mount_at(place / "closed/mnt") is None


@as_root
def test_a_config_cannot_make_root_read_for_its_owner(said, home, standin, place):
    """A user's config that names a file of root's as a secret gets nothing of it from root's mount for that user."""
    (place / "roots.secret").write_text("CANARYROOTSECRET")
    (place / "roots.secret").chmod(0o600)
    config = place / "config.toml"
    config.write_text(f'apikey_file = "{place}/roots.secret"\n')
    config.chmod(0o600)
    os.chown(config, UID, GID)
    more = ["--uid", UID, "--gid", GID, "--cache-dir", place / "cache", "--config", config]
    done = run(said, home, "mount", *more, place / "mnt", CFFS_V1_URL=standin.v1_url, CFFS_V2_URL=standin.v2_url)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert standin.requests == []


@as_root
def test_roots_config_names_the_user(said, home, standin, place, monkeypatch, tmp_path_factory):
    """`uid` in root's own config does what the option does, with that user's folders; root may read what it names."""
    private = tmp_path_factory.mktemp("machine")
    monkeypatch.setenv("CFFS_CACHE_DIR", str(place / "cache"))
    (private / "password").write_text(standin.credentials.password)
    values = {"v1_url": standin.v1_url, "v2_url": standin.v2_url, "cache_dir": f"{place}/cache"}
    values |= {"login": standin.credentials.login, "password_file": f"{private}/password"}
    config = private / "config.toml"
    config.write_text("".join(f"{n} = {json.dumps(v)}\n" for n, v in values.items()) + f"uid = {UID}\ngid = {GID}\n")
    (private / "password").chmod(0o600)
    config.chmod(0o600)
    try:
        done = run(said, home, "mount", "--config", config, place / "mnt")
        assert done.returncode == 0, done.stderr
        pid, _helper = processes(place / "mnt")
        assert f"Uid:\t{UID}\t" in Path(f"/proc/{pid}/status").read_text()
        assert "media" in as_user("ls", place / "mnt").stdout
        assert run(said, home, "umount", place / "mnt", CFFS_CACHE_DIR=str(place / "cache")).returncode == 0
    finally:
        shutil.rmtree(private)


@as_root
def test_allow_other_and_umask(said, home, standin, place, monkeypatch):
    """--allow-other warns and lets others in; --umask takes bits away for them."""
    monkeypatch.setenv("CFFS_CACHE_DIR", str(place / "cache"))
    more = ["--uid", UID, "--gid", GID, "--cache-dir", place / "cache", "--allow-other", "--umask", "027"]
    done = run(said, home, "mount", *more, place / "mnt", **account_variables(standin))
    assert done.returncode == 0, done.stderr
    assert "every user of this machine can read" in done.stderr
    try:
        assert stat.S_IMODE((place / "mnt/media").stat().st_mode) == 0o750
        assert "campaigns" in os.listdir(place / "mnt")
    finally:
        assert run(said, home, "umount", place / "mnt", CFFS_CACHE_DIR=str(place / "cache")).returncode == 0


@pytest.fixture
def helper_link() -> Iterator[None]:
    """/sbin/mount.cffs, made as the README says; removed afterwards unless it was there."""
    link, made = Path("/sbin/mount.cffs"), False
    if not link.exists():
        link.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m cffs.cli.mount_helper "$@"\n')
        link.chmod(0o755)
        made = True
    try:
        yield
    finally:
        if made:
            link.unlink()


@as_root
def test_mount_t_cffs(said, home, standin, place, helper_link, tmp_path_factory):
    """`mount -t cffs callfire:PROFILE DIR -o ...` with the words of fstab mounts, and `umount DIR` ends it."""
    private = tmp_path_factory.mktemp("fstab")
    told = standin.credentials
    config = private / "config.toml"
    values = {"v1_url": standin.v1_url, "v2_url": standin.v2_url}
    secrets = {"apikey": told.apikey, "login": told.login, "password": told.password}
    lines = [f"{name} = {json.dumps(value)}" for name, value in (values | secrets).items()]
    config.write_text("[profile.work]\n" + "\n".join(lines) + "\n")
    config.chmod(0o600)
    words = (
        "_netdev,nofail,noauto,x-systemd.automount,x-gvfs-show,comment=calls,nosuid,nodev,noatime,rw,max_read=131072"
    )
    options = f"{words},uid={UID},gid={GID},cache_dir={place}/cache,config={config},allow_other"
    try:
        done = subprocess.run(
            ["mount", "-t", "cffs", "callfire:work", str(place / "mnt"), "-o", options],
            env=environment(home, {}), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        said.outputs.append(done.stdout + done.stderr)
        assert done.returncode == 0, done.stderr
        found = mount_at(place / "mnt")
        assert (found.filesystem, found.source, found.user_id) == ("fuse.cffs", "callfire:work", UID)
        assert "campaigns" in os.listdir(place / "mnt")
        listed = subprocess.run(["df", "-l"], capture_output=True, text=True, check=True).stdout
        assert "callfire:work" not in listed, "the colon makes df -l pass over it"
    finally:
        config.unlink()
        done = subprocess.run(["umount", str(place / "mnt")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert mount_at(place / "mnt") is None


def test_foreground_under_a_service_manager(said, home, standin, tmp_path):
    """As Type=notify runs it: READY comes, SIGHUP does not end it without a terminal, SIGTERM ends it with status 0."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(str(tmp_path / "notify"))
    channel.settimeout(20)
    path = home / "mnt"
    path.mkdir()
    daemon = subprocess.Popen(
        [sys.executable, "-P", "-m", "cffs.cli", "mount", "--foreground", str(path)],
        env=environment(home, {**account_variables(standin), "NOTIFY_SOCKET": str(tmp_path / "notify")}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        assert channel.recv(4096).decode().startswith("READY=1\nSTATUS=")
        daemon.send_signal(signal.SIGHUP)
        assert channel.recv(4096).startswith(b"RELOADING=1")
        assert channel.recv(4096).startswith(b"READY=1")
        assert daemon.poll() is None
        daemon.send_signal(signal.SIGTERM)
        assert channel.recv(4096).startswith(b"STOPPING=1")
        assert daemon.wait(10) == 0
        said.outputs.append(daemon.stdout.read().decode())
        assert mount_at(path) is None
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()
        channel.close()


def test_refused_credentials_do_not_loop(said, home, standin):
    """Refused credentials are status 1 before READY, and the units start again after crashes only."""
    path = home / "mnt"
    path.mkdir()
    wrong = account_variables(standin, owner=False) | {"CFFS_APIKEY": "wrong", "CFFS_PASSWORD": "wrong"}
    done = run(said, home, "mount", "--foreground", path, **wrong)
    assert done.returncode == 1
    for kind in ("user", "system"):
        assert "Restart=on-abnormal\n" in unit_text(kind, command=None)


@pytest.mark.parametrize("kind", ["user", "system"])
def test_units_are_sound(tmp_path, kind):
    """systemd-analyze accepts the units as shipped and with a command of this installation in them."""
    tool = shutil.which("systemd-analyze")
    assert tool is not None, "scripts/setup installs systemd's package"
    (tmp_path / "run").mkdir(mode=0o700)
    spaced = tmp_path / "a b/cffs"
    spaced.parent.mkdir()
    spaced.write_text("#!/bin/sh\n")
    spaced.chmod(0o755)
    for name, command in (("shipped", None), ("here", Path(sys.executable)), ("spaced", spaced)):
        unit = tmp_path / name / "cffs@work.service"
        unit.parent.mkdir()
        unit.write_text(unit_text(kind, command=command))
        done = subprocess.run(
            [tool, *(["--user"] if kind == "user" else []), "--man=no", "verify", str(unit)],
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    lines = unit_text(kind, command=None).splitlines()
    settings = {line.partition("=")[0] for line in lines if not line.startswith("#")}
    # each of them would hide the mount from all others, or keep a user's fusermount3 from working
    assert not settings & {"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "NoNewPrivileges"}
    if kind == "user":
        assert not settings & {"SystemCallFilter", "RestrictNamespaces", "LockPersonality", "RestrictAddressFamilies"}


def test_a_profile_called_default_is_none(said, home, standin):
    """`--profile default` mounts what no profile names, as units and fstab need a word; another unknown one fails."""
    with mounted(said, home, account_variables(standin), "--profile", "default") as mount:
        assert mount_at(mount.path).source == "callfire:default"
    assert "no profile nonesuch" in run(said, home, "config", "show", "--profile", "nonesuch").stderr
