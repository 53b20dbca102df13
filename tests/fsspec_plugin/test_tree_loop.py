"""The loop's thread: one per process, through fork and spawn, and gone at the end."""

import errno
from hashlib import sha256
from pathlib import Path

import pytest

from cffs.fsspec_plugin.private_folder import PREFIX
from tests.fsspec_plugin.conftest import true_bytes


def left(tmp_path: Path) -> list[str]:
    """The private folders that processes left."""
    return [path.name for path in tmp_path.glob(f"{PREFIX}*")]


def test_nothing_of_the_kernel_is_imported(run, standin, recordings):
    """Where pyfuse3 cannot be imported, everything can be read."""
    script = """
        sys.modules["pyfuse3"] = None
        print(len(fs.ls("recordings")), len(fs.cat_file(paths[0])))
    """
    lines, status = run(script)
    assert lines == [f"24 {len(true_bytes(standin, recordings[0]))}"]
    assert status == 0


def test_forked_child_starts_its_own_thread(run, standin, recordings, tmp_path):
    """After fork, parent and child read on: with the file system, and with a file that was open."""
    script = """
        file = fs.open(paths[0])
        start = file.read(5)
        child = os.fork()
        whole = start + file.read()
        print(len(whole), hash(whole) == hash(fs.cat_file(paths[0])), len(fs.cat_file(paths[1])), flush=True)
        if child:
            assert os.waitpid(child, 0)[1] == 0
            print("ended", len(fs.cat_file(paths[2])))
    """
    lines, status = run(script)
    first, second, third = (len(true_bytes(standin, one)) for one in recordings[:3])
    assert sorted(lines) == sorted([f"{first} True {second}"] * 2 + [f"ended {third}"])
    assert status == 0
    assert left(tmp_path) == []


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_of_a_pool(run, standin, recordings, tmp_path, method):
    """Workers get the instance as its options and read byte-exactly; nothing of theirs is left."""
    script = f"""
        from hashlib import sha256
        from multiprocessing import get_context
        def read(path):
            return sha256(fs.cat_file(path)).hexdigest()
        if __name__ == "__main__":
            fs.info(paths[0])
            with get_context({method!r}).Pool(2) as pool:
                print(*map(len, pool.map(fs.cat_file, paths)), *pool.map(read, paths))
                pool.close()
                pool.join()
    """
    lines, status = run(script)
    whole = [true_bytes(standin, one) for one in recordings[:4]]
    assert lines == [" ".join(map(str, [*map(len, whole), *(sha256(one).hexdigest() for one in whole)]))]
    assert status == 0
    assert left(tmp_path) == []


@pytest.mark.parametrize(("last", "status"), [("", 0), ("sys.exit(3)", 3), ("1 / 0", 1)])
def test_end_of_the_interpreter(run, standin, tmp_path, last, status):
    """A process ends at once with its own status, whatever is open or on its way in other threads."""
    standin.faults.add("stall_head", path=r"\.mp3$")
    script = f"""
        file = fs.open("README.txt")
        threading.Thread(target=fs.cat_file, args=(paths[0],), daemon=True).start()
        time.sleep(0.3)
        print(time.monotonic())
        {last}
    """
    _lines, found = run(script)
    assert found == status
    assert left(tmp_path) == []


def test_interrupted_caller_returns(run, standin):
    """Ctrl-C reaches a program whose call waits for the service."""
    standin.link.latency_seconds = 20.0
    script = """
        import signal
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            fs.cat_file(paths[0])
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert run(script) == (["interrupted"], 0)
    standin.link.latency_seconds = 0.0


def test_no_descriptor_is_left(run):
    """A process that has used up its descriptors gets an error, and reads once it has closed some."""
    script = """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            fs.ls("")
        except OSError as error:
            problem = error
        while held:
            os.close(held.pop())
        print(problem.errno, len(fs.ls("recordings")))
    """
    assert run(script) == ([f"{errno.EIO} 24"], 0)


def test_what_cannot_be_used_is_one_line(run):
    """A folder that is not there, a disk that takes nothing, an extra that is not installed: ValueError, which says
    what to do; the next instance works."""
    script = """
        import resource
        sys.modules["coredis"] = None
        def refused(**changes):
            try:
                CallFireFileSystem(**options | changes).ls("")
            except ValueError as error:
                return str(error)
        print(refused(cache_dir="/nonexistent"))
        print(refused(shared="redis://127.0.0.1:1"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        print(refused(timeout=7))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(len(fs.ls("recordings")))
    """
    lines, status = run(script)
    assert lines[0] == "cannot make a folder in /nonexistent: No such file or directory; name another in cache_dir"
    assert "pip install 'cffs[shared]'" in lines[1]
    assert lines[2].startswith("cannot use the folder ")
    assert lines[3:] == ["24"]
    assert status == 0
