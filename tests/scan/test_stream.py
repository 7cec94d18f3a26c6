"""Reading ahead and taking in behind: in order, bounded, and no error is lost."""

import threading
import time

import pytest

from tcnfast.scan.pipeline import WRITE_BEHIND, Behind, look_ahead, read_ahead


def our_threads():
    return [t for t in threading.enumerate() if t.name.startswith(("reader", "writer"))]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not our_threads()


# reading ahead


@pytest.mark.parametrize("readers", [1, 4])
@pytest.mark.parametrize("n", [0, 1, 3, 50])
def test_items_come_in_order_whoever_is_first(readers, n):
    def read(item):
        time.sleep(0.002 * (item % 3 == 0))
        return -item

    assert list(read_ahead(range(n), read, readers)) == [(item, -item) for item in range(n)]


@pytest.mark.parametrize("readers", [1, 3])
def test_reading_is_a_bounded_number_ahead(readers):
    taken, drawn = 0, 0

    def items():
        nonlocal drawn
        for item in range(40):
            drawn += 1
            yield item

    for _ in read_ahead(items(), lambda item: item, readers):
        taken += 1
        assert drawn <= taken + look_ahead(readers)
    assert taken == 40


def test_several_are_read_at_a_time():
    together = threading.Barrier(3, timeout=10)
    for _ in read_ahead(range(3), lambda item: together.wait(), readers=3):
        pass


def test_a_failing_read_comes_in_its_turn():
    def read(item):
        if item == 3:
            raise OSError("gone")
        return item

    seen = []
    with pytest.raises(OSError, match="gone"):
        for item, _ in read_ahead(range(9), read, 2):
            seen.append(item)
    assert seen == [0, 1, 2]


def test_closing_early_reads_no_more():
    read = []
    stream = read_ahead(range(1000), read.append, 2)
    next(stream)
    stream.close()
    assert len(read) <= 1 + look_ahead(2)


# taking in behind


def test_everything_is_taken_in_order_by_one_other_thread():
    taken, threads = [], set()

    def take(value):
        threads.add(threading.get_ident())
        taken.append(value)

    with Behind(take) as behind:
        for value in range(100):
            behind.put(value)
    assert taken == list(range(100))
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_it_lags_a_bounded_number_behind():
    gate, taken = threading.Semaphore(0), []

    def take(value):
        assert gate.acquire(timeout=10)
        taken.append(value)

    def fill():
        with Behind(take) as behind:
            for value in range(10):
                put.append(value)
                behind.put(value)

    put = []
    filler = threading.Thread(target=fill)
    filler.start()
    for done in range(10):
        time.sleep(0.01)
        assert len(put) - done <= WRITE_BEHIND + 1
        gate.release()
        deadline = time.monotonic() + 10
        while len(taken) <= done and time.monotonic() < deadline:
            time.sleep(0.001)
    filler.join(10)
    assert taken == list(range(10))


@pytest.mark.parametrize("bad", [0, 50, 99])
def test_a_failure_surfaces_soon(bad):
    def take(value):
        if value == bad:
            raise OSError(28, "No space left on device")

    put = []
    with pytest.raises(OSError, match="No space left"):
        with Behind(take) as behind:
            for value in range(100):
                put.append(value)
                behind.put(value)
    assert put[-1] <= bad + WRITE_BEHIND + 1


def test_an_error_in_the_body_is_not_hidden():
    def take(value):
        time.sleep(0.05)
        raise OSError("late")

    with pytest.raises(KeyboardInterrupt):
        with Behind(take) as behind:
            behind.put(0)
            raise KeyboardInterrupt
