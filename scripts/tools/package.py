# ruff: noqa: T201, S603  # a script prints, and runs fixed commands
"""The Debian package: a tree made from the locked requirements, and dpkg-deb.

It owns where each file of the package lies and what the package depends on. It must not know what cffs does. It runs
on Debian's own Python with nothing but the standard library, because the package is made for that Python.

Everything private lies in /usr/lib/cffs, which is a virtual environment of the system's python3 without pip: a link to
the interpreter, `pyvenv.cfg`, and the locked packages. They are byte-compiled here, for the paths that they will have,
because an ordinary user's commands could not keep the result, and compiling the modules again costs each start seconds.
"""

import argparse
import ast
import compileall
import email
import gzip
import hashlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.message import Message
from email.utils import format_datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ROOT / "scripts/tools/debian"
PYTHON = Path("/usr/bin/python3")
#: Where the private tree lies on the target.
HOME = Path("/usr/lib/cffs")
#: The file managers whose Python bindings look for extensions in a folder of their own.
FILE_MANAGERS = ("nautilus", "nemo", "caja")
#: A module in the syntax of a Python that its name gives, imported by that one alone: coredis has one.
OF_ANOTHER_PYTHON = re.compile(r"/_py_3\d+_\w+\.py$")
#: What pip notes of an installation: the machine's paths among it, and nothing that is read at run time.
NOTES_OF_PIP = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
#: Where zsh, bash and fish look for what a package brings.
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/cffs",
    "zsh": "usr/share/zsh/vendor-completions/_cffs",
    "fish": "usr/share/fish/vendor_completions.d/cffs.fish",
}
MAINTAINER = "cffs authors <cffs@noreply.invalid>"
#: How the licences begin that every Debian system has, and their names in /usr/share/common-licenses.
SHARED_LICENCES = {
    "Apache License": "Apache-2.0",
    "GNU LIBRARY GENERAL PUBLIC LICENSE": "LGPL-2",
    "GNU LESSER GENERAL PUBLIC LICENSE": "LGPL-2.1",
    "Mozilla Public License Version 2.0": "MPL-2.0",
}
DESCRIPTION = """call recordings of a CallFire account as files
 Mounts the call recordings and media behind the CallFire APIs as a read-mostly
 file system: campaigns, calls and recordings become folders and files, whose
 bytes are fetched as they are read, and kept.
 .
 The package has commands, systemd units, shell completions, a udev rule for a
 larger read-ahead, and an extension for Nautilus, Nemo and Caja, which needs
 the Python binding of the file manager."""


def main() -> int:
    """The exit status; prints the path of the package."""
    parser = argparse.ArgumentParser(prog="scripts/package", description="Makes the Debian package of cffs.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where to put it  [dist]")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cffs-package-") as scratch:
        print(made(Path(scratch), arguments.folder.resolve()))
    return 0


def made(scratch: Path, folder: Path) -> Path:
    """The package, in `folder`; `scratch` is an empty folder for what is needed meanwhile."""
    root = scratch / "root"
    site = root / HOME.relative_to("/") / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    install_locked(scratch, site)
    clean(site)
    write_environment(root)
    write_commands(root)
    write_parts(root)
    write_documents(root, site)
    write_completions(root, site)
    settle(root)
    compile_all(root)
    require_no_trace(root, scratch)
    architecture = said("dpkg", "--print-architecture").strip()
    write_control(root, scratch, architecture)
    package = folder / f"cffs_{version()}_{architecture}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(package), stdout=subprocess.DEVNULL)
    return package


def version() -> str:
    """As `cffs/__init__.py` has it."""
    for node in ast.parse((ROOT / "cffs/__init__.py").read_text()).body:
        if isinstance(node, ast.Assign):
            return str(ast.literal_eval(node.value))
    raise SystemExit("package: cffs/__init__.py names no version")


def changed_at() -> datetime:
    """When the source last changed: its last commit, or now without git. It is the time of every file."""
    seconds = str(int(datetime.now(UTC).timestamp()))
    if shutil.which("git"):
        command = ["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        seconds = done.stdout.strip() or seconds
    return datetime.fromtimestamp(int(seconds), UTC)


def install_locked(scratch: Path, site: Path) -> None:
    """The locked packages and cffs into `site`, built against this machine's libfuse3."""
    builder, source = scratch / "builder", scratch / "source"
    run(str(PYTHON), "-m", "venv", str(builder))
    # no cache: a wheel of pyfuse3 from there may have been built against a libfuse that has been replaced
    pip = [str(builder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "-qq", "--no-cache-dir", "install"]
    to_site = ["--no-compile", "--no-build-isolation", "--no-warn-script-location", "--target", str(site)]
    run(*pip, "--require-hashes", "-r", str(ROOT / "scripts/requirements-build.txt"))
    run(*pip, *to_site, "--require-hashes", "-r", str(ROOT / "scripts/requirements-package.txt"))
    source.mkdir()
    shutil.copytree(ROOT / "cffs", source / "cffs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(*pip, *to_site, "--no-deps", str(source))


def clean(site: Path) -> None:
    """Leaves what is read at run time: no scripts for this machine's paths, no tests, no debugging symbols."""
    for name in ("bin", "share"):
        shutil.rmtree(site / name, ignore_errors=True)
    for notes in site.glob("*.dist-info"):
        for name in NOTES_OF_PIP:
            (notes / name).unlink(missing_ok=True)
    for name in ("__pycache__", "_tests"):
        for folder in list(site.rglob(name)):
            shutil.rmtree(folder)
    for library in libraries(site):
        run("strip", "--strip-unneeded", "--remove-section=.comment", str(library))


def libraries(folder: Path) -> list[Path]:
    """The compiled modules, and the libraries that wheels bring."""
    return sorted(path for path in folder.rglob("*.so*") if path.is_file() and not path.is_symlink())


def write_environment(root: Path) -> None:
    """What makes /usr/lib/cffs a virtual environment."""
    home = root / HOME.relative_to("/")
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to("../../../bin/python3")
    text = f"home = {PYTHON.parent}\ninclude-system-site-packages = false\nversion = {sys.version.split()[0]}\n"
    (home / "pyvenv.cfg").write_text(text)


def write_commands(root: Path) -> None:
    """`cffs` and `mount.cffs`; mount(8) looks for the latter in /sbin, which is another folder on some systems."""
    text = (PARTS / "command").read_text()
    text = text.replace("@MAJOR@", str(sys.version_info[0])).replace("@MINOR@", str(sys.version_info[1]))
    for place, entry in (("usr/bin/cffs", "main"), ("usr/sbin/mount.cffs", "main_mount_helper")):
        write(root / place, text.replace("@ENTRY@", entry).replace("@COMMAND@", Path(place).name), mode=0o755)
    if not os.path.samefile("/sbin", "/usr/sbin"):
        (root / "sbin").mkdir()
        (root / "sbin/mount.cffs").symlink_to("/usr/sbin/mount.cffs")


def write_parts(root: Path) -> None:
    """What other programs read: udev, systemd, and file managers."""
    copy(PARTS / "60-cffs.rules", root / "usr/lib/udev/rules.d/60-cffs.rules")
    copy(PARTS / "read-ahead", root / HOME.relative_to("/") / "read-ahead", mode=0o755)
    for kind in ("user", "system"):
        unit = (ROOT / f"cffs/cli/units/{kind}/cffs@.service").read_text()
        write(root / f"usr/lib/systemd/{kind}/cffs@.service", unit.replace("/usr/bin/env cffs", "/usr/bin/cffs"))

    copy(PARTS / "cffs_file_manager.py", root / "usr/share/cffs/cffs_file_manager.py")
    for manager in FILE_MANAGERS:
        folder = root / f"usr/share/{manager}-python/extensions"
        folder.mkdir(parents=True)
        (folder / "cffs_file_manager.py").symlink_to("../../cffs/cffs_file_manager.py")


def write_documents(root: Path, site: Path) -> None:
    """Manual pages, copyright, history."""
    for page in sorted((ROOT / "cffs/docs").rglob("*.[1-9]")):
        write_gzip(root / f"usr/share/man/man{page.suffix[1:]}/{page.name}.gz", page.read_bytes())
    documents = root / "usr/share/doc/cffs"
    write(documents / "copyright", copyright_text(site))
    write_gzip(documents / "changelog.gz", changelog().encode())
    copy(PARTS / "lintian-overrides", root / "usr/share/lintian/overrides/cffs")


def changelog() -> str:
    """In Debian's form: `cffs help changelog` says what changed."""
    when = format_datetime(changed_at())
    entry = f"cffs ({version()}) unstable; urgency=medium\n\n  * New version; `cffs help changelog` has what changed.\n"
    return f"{entry}\n -- {MAINTAINER}  {when}\n"


def copyright_text(site: Path) -> str:
    """Of cffs and of every package in it, with the text of each licence that the package brings."""
    parts = [f"cffs {version()}\n\n{(ROOT / 'LICENSE').read_text()}"]
    for notes in sorted(site.glob("*.dist-info")):
        about = email.message_from_string((notes / "METADATA").read_text(encoding="utf-8"))
        if about["Name"] == "cffs":
            continue
        texts = [licence_text(path) for path in licences(notes, about)]
        stated = about["License-Expression"] or (about["License"] or "").partition("\n")[0] or classified(about)
        address = next((url.partition(", ")[2] for url in about.get_all("Project-URL") or ()), about["Home-page"])
        head = f"{about['Name']} {about['Version']}\nLicence: {stated}\nSource: {address or 'its package index'}\n"
        parts.append("\n".join([head, *(text.strip() + "\n" for text in texts)]))
    rule = "\n" + "-" * 78 + "\n\n"
    return rule.join(["This package holds cffs and the Python packages that it needs.\n", *parts])


def licence_text(path: Path) -> str:
    """The text, or where every Debian system has it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    shared = SHARED_LICENCES.get(text.lstrip().partition("\n")[0].strip())
    return text if shared is None else f"On Debian systems, the full text is in /usr/share/common-licenses/{shared}."


def classified(about: Message) -> str:
    """The licence by its classifier."""
    found = [text for text in about.get_all("Classifier") or () if text.startswith("License ::")]
    return found[0].rpartition(" :: ")[2] if found else "see its source"


def licences(notes: Path, about: Message) -> list[Path]:
    """The files of licence texts that the package's metadata name."""
    names = about.get_all("License-File") or ()
    return [path for name in names for path in (notes / "licenses" / name, notes / name) if path.is_file()]


def write_completions(root: Path, site: Path) -> None:
    """What `cffs completion` prints."""
    for shell, place in COMPLETIONS.items():
        command = [str(PYTHON), "-P", "-m", "cffs.cli", "completion", shell]
        environment = {"PATH": os.defpath, "PYTHONPATH": str(site), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
        write(root / place, said(*command, env=environment))


def settle(root: Path) -> None:
    """Modes that do not depend on this machine's umask, and one time for all files, which compiled ones remember."""
    when = changed_at().timestamp()
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            is_command = path.is_file() and path.stat().st_mode & 0o100 and is_run(path)
            path.chmod(0o755 if path.is_dir() or is_command else 0o644)
        os.utime(path, (when, when), follow_symlinks=False)


def is_run(path: Path) -> bool:
    """Something that is started: a library or a module is not, whatever its mode."""
    return path.suffix not in (".so", ".py")


def compile_all(root: Path) -> None:
    """Byte-compile the private tree for the paths that it will have."""
    os.environ.pop("SOURCE_DATE_EPOCH", None)  # it would have each file's hash checked at each import
    place = root / HOME.relative_to("/") / "lib"
    mode = py_compile.PycInvalidationMode.TIMESTAMP
    if not compileall.compile_dir(
        place, quiet=1, stripdir=str(root), prependdir="/", invalidation_mode=mode, rx=OF_ANOTHER_PYTHON
    ):
        raise SystemExit("package: a module cannot be compiled")
    for path in place.rglob("__pycache__"):
        path.chmod(0o755)


def require_no_trace(root: Path, scratch: Path) -> None:
    """No file names the folders of this machine that it was made in."""
    traces = [os.fsencode(folder) for folder in (scratch, ROOT) if len(folder.parts) > 1]
    found = [path for path in files_of(root) if any(trace in path.read_bytes() for trace in traces)]
    if found:
        raise SystemExit(f"package: {found[0]} names a folder of this machine")


def files_of(root: Path) -> Iterator[Path]:
    """The plain files of the tree, but for DEBIAN/."""
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())


def write_control(root: Path, scratch: Path, architecture: str) -> None:
    """DEBIAN/: what dpkg reads."""
    folder = root / "DEBIAN"
    sums = [f"{md5(path)}  {path.relative_to(root)}\n" for path in files_of(root)]
    nbytes = sum(max(path.lstat().st_size, 1) for path in root.rglob("*") if not path.is_dir())
    low = f"{sys.version_info[0]}.{sys.version_info[1]}"
    high = f"{sys.version_info[0]}.{sys.version_info[1] + 1}"
    depends = [f"python3 (>= {low}~)", f"python3 (<< {high}~)", "fuse3", "ca-certificates", "tzdata"]
    fields = {
        "Package": "cffs",
        "Version": version(),
        "Architecture": architecture,
        "Maintainer": MAINTAINER,
        "Installed-Size": str(nbytes // 1024 + 1),
        "Depends": ", ".join([*depends, *linked(root, scratch, architecture)]),
        "Suggests": "python3-nautilus | nemo-python | python3-caja, gir1.2-gtk-3.0 | gir1.2-gtk-4.0",
        "Enhances": "nautilus, nemo, caja",
        "Section": "utils",
        "Priority": "optional",
        "Description": DESCRIPTION,
    }
    write(folder / "control", "".join(f"{name}: {text}\n" for name, text in fields.items()))
    write(folder / "md5sums", "".join(sums))
    for name in ("postinst", "prerm", "postrm"):
        copy(PARTS / name, folder / name, mode=0o755)


def linked(root: Path, scratch: Path, architecture: str) -> list[str]:
    """The packages of the system's libraries that the compiled modules link, with the versions that they need."""
    place = scratch / "shlibs"
    source = f"Source: cffs\nMaintainer: {MAINTAINER}\n"
    write(place / "debian/control", f"{source}\nPackage: cffs\nArchitecture: {architecture}\n")
    command = ["dpkg-shlibdeps", "-O", "--warnings=0", *(f"-e{path}" for path in libraries(root))]
    depends = said(*command, cwd=place).strip().removeprefix("shlibs:Depends=")
    return depends.split(", ")


def md5(path: Path) -> str:
    """As dpkg --verify wants it; it protects against accidents alone."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """The file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def write_gzip(path: Path, content: bytes) -> None:
    """As policy asks: the smallest form, without name and time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def copy(source: Path, target: Path, *, mode: int = 0o644) -> None:
    """A file of scripts/tools/debian."""
    write(target, source.read_text(encoding="utf-8"), mode=mode)


def run(*command: str, stdout: int | None = None) -> None:
    """Runs it; its failure is the script's."""
    if subprocess.run(command, check=False, stdout=stdout).returncode != 0:
        raise SystemExit(f"package: failed: {' '.join(command[:6])} ...")


def said(*command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What it prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=cwd)
    if done.returncode != 0:
        print(done.stderr, end="", file=sys.stderr)
        raise SystemExit(f"package: failed: {' '.join(command[:6])} ...")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
