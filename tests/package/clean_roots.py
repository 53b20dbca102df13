"""Clean systems of Debian in folders, and commands run in them.

debootstrap makes them. It must not know what is installed there. A command sees this machine's network, /dev and /sys,
and has a mount table and a process table of its own, so nothing that it mounts or starts outlives it.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The ordinary user of each system.
USER = "ada"
#: An index that needs another certificate is another machine's business; where this one has it, pip is given it.
CERTIFICATES = Path("/etc/certificates-of-the-host.pem")
_ENTER = """
set -eu
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
exec chroot "$root" runuser -u "$user" -- "$@"
"""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class CleanRoot:
    """A system in a folder."""

    path: Path

    @classmethod
    def made(cls, path: Path, release: str) -> "CleanRoot":
        """debootstrap's smallest system, with an ordinary user who may become root, as on a desktop."""
        subprocess.run(
            ["nice", "debootstrap", "--variant=minbase", release, str(path)], check=True, stdout=subprocess.DEVNULL
        )
        root = cls(path)
        root.run("useradd --create-home --shell /bin/sh ada", user="root")
        certificate = os.environ.get("PIP_CERT")
        if certificate:
            shutil.copy(certificate, path / CERTIFICATES.relative_to("/"))
        return root

    def copied(self, path: Path) -> "CleanRoot":
        """Another one like it."""
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.path), str(path)], check=True)
        return CleanRoot(path)

    def run(self, script: str, *, user: str = USER, is_ok: bool = True) -> subprocess.CompletedProcess[str]:
        """A shell script in the user's home. `is_ok`: it must end well, and a failure shows what it said."""
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {
            "HOME": home,
            "USER": user,
            "PATH": f"{home}/.local/bin:{_PATH}",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        if (self.path / CERTIFICATES.relative_to("/")).exists():
            variables["PIP_CERT"] = str(CERTIFICATES)
        alone = ["nice", "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        command = [*alone, "sh", "-c", _ENTER, "sh", str(self.path), user, "sh", "-c", f"cd {home}\n{script}"]
        done = subprocess.run(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        assert done.returncode == 0 or not is_ok, f"{script}\n{done.stdout[-6000:]}"
        return done

    def install(self, *packages: str) -> None:
        """Debian's packages, without those that are only recommended."""
        self.run(f"apt-get -qq install -y --no-install-recommends {' '.join(packages)}", user="root")

    def files(self) -> set[str]:
        """Everything in it, but for what any installation leaves: logs, caches, dpkg's own notes, and homes."""
        passing = (
            "var/log",
            "var/cache",
            "var/lib/dpkg",
            "var/lib/apt",
            "home",
            "root",
            "tmp",
            "run",
            "proc",
            "sys",
            "dev",
        )
        found = set()
        for folder, names, files in os.walk(self.path):
            here = Path(folder).relative_to(self.path)
            names[:] = [name for name in names if str(here / name) not in passing]
            found |= {str(here / name) for name in (*names, *files)}
        return found
