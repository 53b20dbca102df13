"""Properties of the window of values: bounded, and first come, first served."""

import trio
from hypothesis import given
from hypothesis import strategies as st

from cffs.shared.value_window import ValueWindow

MOST = 16
BATCHES = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 20), st.none() | st.integers(1, 30)), max_size=40)


@given(BATCHES)
def test_no_more_travel_than_there_is_room_for(batches):
    """Whatever is sent, and given up: the room is never exceeded, those that wait are served in their order, what
    carries no value waits for nothing, and in the end all the room is there."""

    async def main() -> None:
        window, under_way, admitted = ValueWindow(MOST), 0, dict[int, float]()

        async def send(number: int, values: int, ticks: int, patience: int | None) -> None:
            nonlocal under_way
            with trio.move_on_after(1e9 if patience is None else patience):
                asked_at = trio.current_time()
                async with window.room(values):
                    under_way += values
                    assert under_way <= MOST
                    if values:
                        admitted[number] = trio.current_time()
                    else:
                        assert trio.current_time() == asked_at
                    try:
                        await trio.sleep(ticks)
                    finally:
                        under_way -= values

        async with trio.open_nursery() as nursery:
            for number, batch in enumerate(batches):
                nursery.start_soon(send, number, *batch)
                await trio.testing.wait_all_tasks_blocked()
        times = [time for _, time in sorted(admitted.items())]
        assert times == sorted(times)
        with trio.fail_after(0):
            async with window.room(MOST):
                pass

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
