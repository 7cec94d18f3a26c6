"""train.tsv and TensorBoard events: each epoch once, also after a resume."""

import sys
from types import ModuleType

import numpy as np
import pytest

from tcnfast.model.metrics import LabelScores
from tcnfast.train.epochs import Epoch, EpochLog


def epoch(number):
    ap, auroc = np.array([0.1 * number, 0.2]), np.array([0.5, 0.7])
    scores = LabelScores(["A@x", "B@y"], ap, auroc, np.array([30, 40]), np.array([100, 100]))
    return Epoch(10 * number, 1 / number, 2.0 * number, scores)


@pytest.fixture
def events(monkeypatch):
    """What was written to TensorBoard: (folder, purge_step, name, step, value)."""
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step=None):
            self.where = folder, purge_step

        def add_scalar(self, name, value, step):
            written.append((*self.where, name, step, value))

        def flush(self):
            pass

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return written


def test_train_tsv(tmp_path, caplog):
    log = EpochLog(tmp_path)
    with caplog.at_level("INFO", logger="tcnfast.train.epochs"):
        log.add(epoch(1), True)
        log.add(epoch(3), False)
    want = "step\tloss\tvalid_macro_ap\tvalid_macro_auroc\tseconds\n"
    want += "10\t1.00000\t0.1500\t0.6000\t2\n30\t0.33333\t0.2500\t0.6000\t6\n"
    assert (tmp_path / "train.tsv").read_text() == want
    first, second = caplog.messages
    assert first.startswith("step 10: loss 1.0000, validation macro-AP 0.1500, macro-AUROC 0.6000")
    assert first.endswith("(best)") and not second.endswith("(best)")


def test_a_resumed_log_forgets_what_will_come_again(tmp_path):
    log = EpochLog(tmp_path)
    for number in (1, 2, 3):
        log.add(epoch(number), True)
    whole = (tmp_path / "train.tsv").read_text()
    again = EpochLog(tmp_path)
    again.resume([epoch(1), epoch(2)])
    assert (tmp_path / "train.tsv").read_text() == whole.rsplit("\n", 2)[0] + "\n"
    again.add(epoch(3), True)
    assert (tmp_path / "train.tsv").read_text() == whole


def test_tensorboard_events(tmp_path, events):
    log = EpochLog(tmp_path, "tb")
    log.add(epoch(1), True)
    names = "loss valid/macro_ap ap/A@x ap/B@y valid/macro_auroc auroc/A@x auroc/B@y".split()
    assert [event[:4] for event in events] == [("tb", None, name, 10) for name in names]
    assert [event[4] for event in events] == pytest.approx([1, 0.15, 0.1, 0.2, 0.6, 0.5, 0.7])
    events.clear()
    log = EpochLog(tmp_path, "tb")
    log.resume([epoch(1)])
    log.add(epoch(2), True)
    assert {event[:2] for event in events} == {("tb", 11)}, "later events are purged"
    assert {event[3] for event in events} == {20}
