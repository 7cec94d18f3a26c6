"""Progress on stderr: a bar with time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time

from tqdm import tqdm

log = logging.getLogger(__name__)

PLAIN_SECONDS = 30.0  # between plain lines, where stderr is no terminal


class Progress:
    """Context manager over ``total`` units of work; silent if ``enabled`` is False."""

    def __init__(self, total: int, unit: str, enabled: bool = True, scale: bool = False) -> None:
        self.total, self.unit, self.enabled = total, unit, enabled
        self.done, self.started, self.spoken = 0, time.monotonic(), time.monotonic()
        self.bar, self._earlier = None, 0
        if enabled and sys.stderr.isatty():
            self.bar = tqdm(total=total, unit=unit, unit_scale=scale, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.close()

    def begin_at(self, done: int) -> None:
        """Count what an earlier run has done: it takes no part in the time that is left."""
        self.done += done
        self._earlier += done
        if self.bar is not None:
            self.bar.initial += done
            self.bar.n += done
            self.bar.refresh()

    def update(self, amount: int, note: str = "") -> None:
        self.done += amount
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(amount)
        elif self.enabled and time.monotonic() - self.spoken > PLAIN_SECONDS:
            self.spoken = time.monotonic()
            here = max(1, self.done - self._earlier)
            left = (self.spoken - self.started) * (self.total - self.done) / here
            share = 100 * self.done / max(1, self.total)
            log.info("%3.0f %%, about %s left%s", share, _clock(left), note and f", {note}")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
