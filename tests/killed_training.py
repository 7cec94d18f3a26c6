"""`python killed_training.py KILLS CHECKPOINT WORDS...`: tcnfast WORDS, killed that many times with
SIGKILL, at moments drawn by chance after it wrote a checkpoint, and gone on with --resume.

Prints how many different checkpoints it was killed at. Every run is a fork of this process, which
has imported everything and started no thread.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from tcnfast import cli

PATIENCE = 60.0  # seconds


def start(words: list[str]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(cli.main(words))
    return child


def stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def main(kills: int, checkpoint: Path, words: list[str]) -> int:
    draws, stages = random.Random(7), set()
    child = start(words)
    for _ in range(kills):
        before, deadline = stamp(checkpoint), time.monotonic() + PATIENCE
        while stamp(checkpoint) in (before, 0) and time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                sys.exit("it was over before it could be killed")
            time.sleep(0.001)
        time.sleep(draws.random() * 0.1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        stages.add(stamp(checkpoint))
        child = start([*words, "--resume"])
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(len(stages))
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
