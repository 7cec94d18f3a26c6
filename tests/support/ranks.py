"""Processes that share a batch, played by threads of this one: one at a time runs, and hands over
where it waits for what the others have."""

import threading

import torch

from tcnfast.engines.ranks import Ranks, join, leave


class Threads(Ranks):
    """One of ``count``; ``spoil`` may change what it gathers."""

    def __init__(self, rank, count, meeting, turn, given, spoil=None):
        self.name, self.rank, self.count = f"thread {rank}", rank, count
        self._meeting, self._turn, self._given, self._spoil = meeting, turn, given, spoil

    def _exchange(self, value):
        self._given[self.rank] = value
        self._turn.release()
        self._meeting.wait(60)
        found = list(self._given)
        self._meeting.wait(60)  # nobody gives anew before all have read
        self._turn.acquire()
        return found

    def gather(self, values):
        found = torch.stack(self._exchange(values.clone()))
        return self._spoil(found) if self._spoil else found

    def add_up(self, values):
        values.copy_(self.gather(values).sum(0))

    def of_first(self, make):
        return self._exchange(make() if self.rank == 0 else None)[0]

    def share(self, tensors):
        for tensor in tensors:
            tensor.copy_(self._exchange(tensor.clone())[0])

    def check_alike(self, what, value):
        assert len(set(map(repr, self._exchange(value)))) == 1, what


def in_threads(count, act, spoil=None):
    """What ``act(ranks)`` gives in each of ``count`` threads, in order."""
    meeting, turn = threading.Barrier(count), threading.Lock()
    given, results, errors = [None] * count, [None] * count, []

    def run(rank):
        ranks = Threads(rank, count, meeting, turn, given, spoil)
        join(ranks)
        try:
            with turn:
                results[rank] = act(ranks)
        except BaseException as error:
            errors.append(error)
            meeting.abort()
        finally:
            leave(ranks)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
