"""`torchrun --nproc-per-node=2 failing_training.py HOW WORDS...`: tcnfast WORDS, which train, where
the second process fails in its second epoch: HOW is "raise" or "kill"."""

import os
import signal
import sys

from tcnfast import cli
from tcnfast.train import training

take_step, taken = training.take_step, []


def fail(*given):
    taken.append(1)
    if os.environ["RANK"] == "1" and len(taken) == 5:
        if sys.argv[1] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(5, "Input/output error", "genome.fa")
    return take_step(*given)


if __name__ == "__main__":
    training.take_step = fail
    sys.exit(cli.main(sys.argv[2:]))
