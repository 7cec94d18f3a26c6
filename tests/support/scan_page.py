"""What the page of a scan holds, taken out of its text."""

import base64
import gzip
import json
import re

import numpy as np


def element(page, name):
    return re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', page, re.S)[1]


def facts_of(page):
    return json.loads(element(page, "facts"))


def unpack(text, units, labels, bins):
    """Bins (labels, bins), and the calls of each unit as rows (start, end, score), in steps."""
    raw = gzip.decompress(base64.b64decode(text))
    total = sum(n for _, _, n in units)
    at = 2 * labels * bins
    table = np.frombuffer(raw[:at], "<u2").reshape(labels, bins)
    gaps, lengths = np.frombuffer(raw[at : at + 8 * total], "<u4").reshape(2, total).astype(int)
    scores, calls, row = np.frombuffer(raw[at + 8 * total :], "<u2"), {}, 0
    for label, contig, n in units:
        start = gaps[row : row + n].cumsum()
        rows = zip(start, start + lengths[row : row + n], scores[row : row + n], strict=True)
        calls[label, contig] = [tuple(map(int, x)) for x in rows]
        row += n
    assert row == total == len(scores)
    return table, calls
