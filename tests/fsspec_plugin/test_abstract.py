"""fsspec's own generic tests, as far as they read: `get`, in every form.

They begin by writing what they read, with names and folders of their own choice. So a subclass shows recordings under
other names: `touch` takes the next recording of the account. What is listed,
looked up and read goes the way of every other call.
"""

from pathlib import Path
from typing import Any

import pytest
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

from cffs.fsspec_plugin.filesystem import CallFireFileSystem
from cffs.fsspec_plugin.unmounted_tree import UnmountedTree
from tests.fsspec_plugin.conftest import true_bytes


class Renamed(CallFireFileSystem):
    """The recordings of an account, under names that a test gives them."""

    cachable = False

    def begin(self, recordings: list[int]) -> "Renamed":
        """Nothing has a name yet."""
        self._left = list(recordings)
        self._folders, self._real = {""}, {}
        return self

    def touch(self, path: str, **_kwargs: Any) -> None:
        """Give the next recording a name."""
        self.makedirs(self._parent(path))
        self._real[self._strip_protocol(path)] = f"recordings/{self._left.pop()}.mp3"

    def pipe(self, path: str, **_kwargs: Any) -> None:
        """Give the next recording a name; its bytes stay, since those of the test are no audio."""
        self.touch(path)

    def makedirs(self, path: str, **_kwargs: Any) -> None:
        """Make a folder and those above it."""
        parts = self._strip_protocol(path).split("/")
        self._folders |= {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}

    mkdir = makedirs

    def real_of(self, path: str) -> str:
        """The path of the recording that has the name; one that does not exist where none has it."""
        return self._real.get(path, "recordings/0.mp3")

    def rm(self, path: str, **_kwargs: Any) -> None:
        """What a test leaves goes with its account."""

    def ask(self, path: str, function: Any, *arguments: Any) -> Any:
        """Ask about the recording that has the name."""
        if path not in self._folders:
            real = self.real_of(path)
            answer = super().ask(real, function, *(real if one == path else one for one in arguments))
            if function is UnmountedTree.entries:
                return [{**one, "name": path} for one in answer]
            return {**answer, "name": path} if isinstance(answer, dict) else answer
        if function is UnmountedTree.entries:
            below = sorted(one for one in self._folders | self._real.keys() if one and self._parent(one) == path)
            return [self.info(one) for one in below]
        answer = super().ask("recordings", function, *("recordings" if one == path else one for one in arguments))
        return {**answer, "name": path} if isinstance(answer, dict) else answer


class TestGet(AbstractFixtures, AbstractGetTests):
    """The generic tests of `get`, over the plugin."""

    @pytest.fixture
    def fs(self, options, recordings):
        """The file system in question."""
        return Renamed(**options).begin(recordings)

    @pytest.fixture
    def fs_path(self):
        """Where the tests make their files."""
        return "top"

    @pytest.fixture
    def local_path(self, tmp_path):
        """A folder of this machine, whose path is text."""
        return str(tmp_path / "local")

    def test_get_with_source_and_destination_as_list(
        self, fs, fs_join, local_join, local_target, fs_10_files_with_hashed_names, recordings, standin
    ):
        """As fsspec's own, with the bytes that the recordings have: each file of a list comes to its own place."""
        names = [one["name"] for one in fs.ls(fs_10_files_with_hashed_names)]
        places = [local_join(local_target, name.rpartition("/")[2]) for name in reversed(names)]
        fs.get(rpath=list(reversed(names)), lpath=places)
        assert len(places) == 10
        for name, place in zip(reversed(names), places, strict=True):
            recording = int(fs.real_of(name).split("/")[1].removesuffix(".mp3"))
            assert Path(place).read_bytes() == true_bytes(standin, recording)
