"""Programs that read through fsspec: pandas, PyArrow, soundfile, Dask."""

import io
import json
from hashlib import sha256
from pathlib import Path

import fsspec
import pandas
import pyarrow.csv
import pyarrow.dataset
import pyarrow.fs
import pytest
import soundfile
from fsspec.implementations.dirfs import DirFileSystem

from tests.fsspec_plugin.conftest import bodies, true_bytes
from tests.shared.redis_server import redis_server


def test_pandas_reads_indexes(options, recordings, standin):
    """The first call of a process gives the whole table, whose paths open."""
    table = pandas.read_csv("callfire://recordings/index.csv", storage_options=options)
    assert sorted(table["id"]) == sorted(recordings)
    lines = pandas.read_json("callfire://recordings/index.jsonl", lines=True, storage_options=options)
    assert list(lines["id"]) == list(table["id"])
    assert list(lines["audio_filepath"]) == [f"callfire://recordings/{one}.mp3" for one in table["id"]]


def test_pyarrow_reads_files_and_listings(fs, recordings, standin):
    """PyArrow's own file system lists, opens at random, and reads tables."""
    arrow = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    found = arrow.get_file_info(pyarrow.fs.FileSelector("recordings"))
    assert sorted(info.path for info in found) == sorted(f"recordings/{one}.mp3" for one in recordings)
    assert {info.type for info in found} == {pyarrow.fs.FileType.File}
    path, whole = f"recordings/{recordings[0]}.wav", true_bytes(standin, recordings[0], "wav")
    info = arrow.get_file_info(path)
    assert (info.size, info.is_file) == (len(whole), True)
    assert info.mtime.timestamp() == pytest.approx(fs.info(path)["mtime"])
    with arrow.open_input_file(path) as file:
        assert file.size() == len(whole)
        assert file.read_at(1000, 5000) == whole[5000:6000]
        file.seek(0)
        assert file.read() == whole
    with arrow.open_input_stream("recordings/index.csv") as stream:
        assert pyarrow.csv.read_csv(stream)["id"].to_pylist() == sorted(recordings)
    assert arrow.get_file_info("recordings/1.mp3").type == pyarrow.fs.FileType.NotFound
    with pytest.raises(PermissionError):
        arrow.delete_file(path)


def test_soundfile_decodes(fs, recordings, standin):
    """Samples decoded through the file system are those of the true bytes, of the whole and of a part."""
    path, whole = f"recordings/{recordings[0]}.wav", true_bytes(standin, recordings[0], "wav")
    true, rate = soundfile.read(io.BytesIO(whole))
    with fs.open(path) as file:
        samples, found_rate = soundfile.read(file)
    assert found_rate == rate
    assert (samples == true).all()
    with fs.open(path) as file, soundfile.SoundFile(file) as sound:
        sound.seek(rate)
        assert (sound.read(rate) == true[rate : 2 * rate]).all()


@pytest.mark.parametrize("cache", ["simplecache", "filecache"])
def test_caches_of_fsspec_stand_in_front(options, recordings, standin, tmp_path, cache):
    """A chained URL keeps the whole file on this machine, and asks for it once."""
    where = {"callfire": options, cache: {"cache_storage": str(tmp_path / "kept")}}
    for _ in range(2):
        with fsspec.open(f"{cache}::callfire://recordings/{recordings[0]}.mp3", **where) as file:
            assert file.read() == true_bytes(standin, recordings[0])
    assert bodies(standin, recordings[0]) == 1


def test_other_faces_of_fsspec(fs, options, recordings, standin):
    """A mapping, a folder as a file system of its own, and a data set of PyArrow show what there is."""
    name, whole = f"{recordings[0]}.mp3", true_bytes(standin, recordings[0])
    mapping = fsspec.get_mapper("callfire://recordings", **options)
    assert (mapping[name], len(mapping), "no such name" in mapping) == (whole, len(recordings), False)
    assert DirFileSystem("recordings", fs).cat_file(name) == whole
    assert len(fsspec.open_files("callfire://recordings/*.mp3", **options)) == len(recordings)
    table = pyarrow.dataset.dataset("recordings/index.csv", format="csv", filesystem=fs)
    assert table.count_rows() == len(recordings)


def digest_of(path: str, options: dict[str, object]) -> str:
    """The digest of what a worker reads."""
    with fsspec.open(path, **options) as file:
        return sha256(file.read()).hexdigest()


@pytest.mark.slow
def test_dask_cluster_reads_recordings(options, recordings, standin, tmp_path, monkeypatch):
    """Four worker processes of Dask read every recording byte-exactly, by a function, by an instance that was sent to
    them, and by Dask's own readers."""
    import dask.bag
    from distributed import Client, LocalCluster

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    true = [sha256(true_bytes(standin, one)).hexdigest() for one in recordings]
    paths = [f"callfire://recordings/{one}.mp3" for one in recordings]
    with (
        LocalCluster(
            n_workers=4, threads_per_worker=2, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        assert client.gather(client.map(digest_of, paths, options=options)) == true
        fs = fsspec.filesystem("callfire", **options)
        assert [sha256(data).hexdigest() for data in client.gather(client.map(fs.cat_file, paths))] == true
        rows = dask.bag.read_text("callfire://recordings/index.jsonl", storage_options=options).map(json.loads)
        assert sorted(row["id"] for row in rows.compute()) == sorted(recordings)
    assert list(tmp_path.glob("cffs-fsspec-*")) == []


@pytest.mark.slow
def test_hugging_face_datasets_load_an_index(run):
    """`load_dataset` takes a URL, whole or as a stream; it hands every protocol the options of all."""
    script = """
        os.environ |= {"HF_HOME": options["cache_dir"] + "/hf", "HF_ENDPOINT": "http://127.0.0.1:9"}
        from datasets import load_dataset
        where = {"data_files": "callfire://recordings/index.jsonl", "storage_options": options, "split": "train"}
        whole, stream = load_dataset("json", **where), load_dataset("json", **where, streaming=True)
        print(whole.num_rows, [row["id"] for row in stream] == list(whole["id"]))
    """
    assert run(script) == (["24 True"], 0)


@pytest.mark.slow
def test_processes_share_through_a_server(run, recordings, standin, tmp_path):
    """Four processes that each read every recording cost the origin one copy and one listing, where they share a
    server."""
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        script = f"""
            from multiprocessing import get_context
            fs = CallFireFileSystem(**options, shared={server.url!r})
            def read(_number):
                return sum(len(fs.cat_file(path)) for path in fs.ls("recordings", detail=False))
            if __name__ == "__main__":
                with get_context("spawn").Pool(4) as pool:
                    print(*pool.map(read, range(4), chunksize=1))
        """
        lines, status = run(script)
    nbytes = sum(len(true_bytes(standin, one)) for one in recordings)
    assert (lines, status) == ([" ".join([str(nbytes)] * 4)], 0)
    audio = [request for request in standin.requests if request.path.endswith(".mp3")]
    assert sum(request.body_nbytes for request in audio) <= 1.02 * nbytes
    assert sum(request.path == "/v2/calls" for request in standin.requests) == 1
