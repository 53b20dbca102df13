"""The order of listings: where a file is read, and what follows it there.

That is the folder that showed it last, in folders of any size.
"""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.ids import Inode
from cffs.fuse import listing_order
from cffs.fuse.listing_order import ListingOrder
from cffs.tree.nodes import CampaignNode, Mp3Node

FOLDERS = [CampaignNode(number, "listed") for number in range(1, 5)]
#: (folder, its files or the one that is looked up in it)
files = st.integers(0, 30)
acts = st.lists(
    st.tuples(st.integers(0, 3), st.lists(files, min_size=2, max_size=20, unique=True) | files), max_size=30
)


@pytest.mark.parametrize(("large", "most"), [(5_000, 50_000), (4, 50_000), (1, 50_000), (4, 25)])
@given(acts=acts)
def test_a_file_is_read_where_it_was_shown_last(acts: Any, large: int, most: int) -> None:
    """Each file is found in the folder that listed it last, or that it was looked up in last, at the position of its
    first listing there; where that folder was forgotten for room, in another that holds it, or not at all. Of large
    folders that hold it, the one that was listed last counts."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(listing_order, "_LARGE_FOLDER", large)
        patched.setattr(listing_order, "_MOST_FILES", most)
        order = ListingOrder(cast(Any, None), cast(Any, None))
        shown: dict[int, list[int]] = {}
        last: dict[int, int] = {}
        for folder, what in acts:
            held = {FOLDERS.index(cast(Any, node)) for node in order._listings}
            shown = {number: files for number, files in shown.items() if number in held}
            if isinstance(what, int):
                order.looked_up(FOLDERS[folder], Inode(what))
                if what in shown.get(folder, ()):
                    last[what] = folder
                continue
            order.listed(FOLDERS[folder], [(Inode(file), Mp3Node(file)) for file in what], is_all=True)
            there = shown.setdefault(folder, [])
            there += [file for file in what if file not in there]
            last |= dict.fromkeys(what, folder)
        for file in range(31):
            found = order._position(Inode(file))
            if found is not None:
                folder_node, nodes, position = found
                assert nodes[position] == Mp3Node(file)
                assert shown[FOLDERS.index(cast(Any, folder_node))][position] == file
            if file in last and FOLDERS[last[file]] in order._listings and file in shown.get(last[file], ()):
                assert found is not None
                assert found[0] == FOLDERS[last[file]] or {found[0], FOLDERS[last[file]]} <= set(order._large)
