"""People's tools on a mount: pandas, datasets of Hugging Face, a NeMo loader.

The first two run as processes of their own, since they are large, and datasets keeps caches for the life of a process.
"""

import json
import os
import subprocess
import sys

import soundfile

from tests.mount.mounting import account_variables, environment, mounted

PANDAS = """
import json, sys
import pandas, soundfile

folder = sys.argv[1]
table = pandas.read_csv(f"{folder}/index.csv", parse_dates=["created"])
lines = pandas.read_json(f"{folder}/index.jsonl", lines=True, convert_dates=["created"])
assert table.columns.tolist() == lines.columns.tolist()
for column in ("file_name", "id", "duration", "created", "inbound", "nbytes"):
    assert table[column].tolist() == lines[column].tolist(), column
assert str(table.created.dtype).startswith("datetime64"), table.created.dtype
assert table.inbound.dtype == bool and table.nbytes_is_exact.dtype == bool
print(json.dumps({row.id: soundfile.info(f"{folder}/{row.file_name}").duration for row in table.itertuples()}))
"""
#: audiofolder imports torch and torchcodec before it takes the path of a file, and uses nothing of them for that: empty
#: modules stand in for them, since torch alone is larger than all that the tests install.
DATASETS = """
import json, sys
from types import ModuleType

import soundfile
from datasets import Audio, load_dataset

torch, encoders = ModuleType("torch"), ModuleType("torchcodec.encoders")
torch.nn = ModuleType("torch.nn")
torch.Tensor = torch.Generator = torch.nn.Module = type("Unused", (), {})
encoders.AudioEncoder = None
sys.modules |= {"torch": torch, "torchcodec": ModuleType("torchcodec"), "torchcodec.encoders": encoders}

index = f"{sys.argv[1]}/index.jsonl"
audio = load_dataset("audiofolder", data_files=index, metadata_filenames=["index.jsonl"], split="train")
audio = audio.cast_column("audio", Audio(decode=False))
rows = load_dataset("json", data_files=index, split="train")
assert list(rows["id"]) == list(audio["id"])
assert rows.column_names[1:] == audio.column_names[1:]
print(json.dumps({row["id"]: soundfile.info(row["audio"]["path"]).duration for row in audio}))
"""


def decoded_seconds(home, script, folder):
    """Run a script on a folder, without a network, and return what it prints: how long each recording is."""
    variables = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hf"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-P", "-c", script, str(folder)]
    done = subprocess.run(command, env=environment(home, variables), cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {int(number): seconds for number, seconds in json.loads(done.stdout).items()}


def utterances(manifest):
    """A loader as NeMo's: samples, seconds and text of each line, the text from the note where there is one."""
    with open(manifest, encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            path = item["audio_filepath"]
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            text = item.get("text", "")
            if not text and "txt" in item["notes"]:
                with open(f"{path.rpartition('.')[0]}.txt", encoding="utf-8") as note:
                    text = note.read()
            yield samples.mean(axis=1), len(samples) / rate, item["duration"], text


def test_indexes_are_read_by_people_s_tools(said, home, standin):
    """pandas, Hugging Face's audiofolder and json, and a NeMo loader read a folder's index and decode its files; the
    index itself costs no request."""
    with mounted(said, home, account_variables(standin), "--notes", str(home / "notes")) as mount:
        names = sorted(name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3"))
        (mount.path / "recordings" / names[0]).with_suffix(".txt").write_text("call me back")
        folder = mount.path / "search/min-seconds=1&order=shortest&limit=4"
        standin.log.clear()
        lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
        assert len(lines) == 4
        assert standin.log.snapshot() == []
        by_pandas = decoded_seconds(home, PANDAS, folder)
        assert by_pandas.keys() == {line["id"] for line in lines}
        assert all(abs(by_pandas[line["id"]] - line["duration"]) < 1 for line in lines)
        assert decoded_seconds(home, DATASETS, folder) == by_pandas

        said_there = list(utterances(mount.path / "recordings/index.jsonl"))
        assert len(said_there) == len(names)
        assert all(abs(seconds - listed) < 1 for _samples, seconds, listed, _text in said_there)
        assert [text for *_other, text in said_there if text] == ["call me back"]
