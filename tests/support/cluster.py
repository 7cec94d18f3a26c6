"""An engine of one worker in this process, in place of a cluster's: it is told and given what goes
over the wire, pickled."""

import pickle


class Here:
    """See the module; ``changed(told)``: what the worker is told in place of ``told``."""

    tries = 4

    def __init__(self, told, workers, gpus):
        self.told = self.changed(pickle.loads(pickle.dumps(told)))
        self.driver, self.news = told, []

    def changed(self, told):
        return told

    def start(self):
        self.worker = self.told.worker()
        self.news = [("w", "runs", (self.worker.ran,)), ("w", "next", ())]

    def do(self, unit):
        return self.worker.do(unit)

    def give(self, worker, unit):
        if unit is None:
            return
        result = self.do(pickle.loads(pickle.dumps(unit)))
        assert self.driver.seen(unit, result)
        self.news += [("w", "finished", (unit, result)), ("w", "next", ())]

    def events(self, seconds):
        news, self.news = self.news, []
        return news

    def close(self):
        pass
