"""Dense tracks for machines: the logit of every label and step in one zarr folder.

A group (zarr format 3) holds one array (steps, labels) a contig, named as the contig, the names of
the labels as the array ``label``, and what the numbers mean as attributes; any reader of zarr needs
nothing else, and :mod:`xarray` decodes both kinds by itself:

"uint8"  level q stands for the logit q / 16 - 8, 255 for no score. From -8 (probability .00034) to
         7.875 (.99962) a logit is off by at most 1/32, so p and 1 - p by at most 3.2 % of
         themselves and p by at most .0079; beyond, it is moved to the nearer end.
"fp16"   the logit itself, off by at most 1/2048 of itself, NaN for no score.

Logits, not probabilities: evenly spaced probabilities would waste half of the levels where there is
hardly a site and have none between 0 and .004, where most of a genome is. Even steps of the logit
treat both tails alike, decode as scale and offset, and cost no exponential to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.disk import writing
from ..base.errors import TcnfastError
from ..base.extras import install
from ..base.jit import jit

KINDS = {"uint8": np.uint8, "fp16": np.float16}
LOWEST = np.float32(-8)  # logit of level 0
PER_LOGIT = np.float32(16)  # levels
HIGHEST = np.float32(254)  # level
NO_SCORE = 255  # level
LABEL_GROUP = 8  # labels of a chunk: read together with each of them
NAMES_OF_LABELS = "label"
OLDEST = (3, 1, 3)  # zarr, whose writes are whole or not there
COORDINATES = (
    "step j of a contig is its bases [stride * j, min(stride * (j + 1), size)), 0-based half-open; "
    "the window of its score is centred on base stride * j + stride // 2"
)
MEANING = "logit of the probability of binding: probability = 1 / (1 + exp(-logit))"


class ZarrTracks:
    """A folder of dense tracks, open for reading and writing.

    ``sizes`` (contig to bases), ``labels``, ``stride`` and ``kind`` are those it was created with;
    ``group`` is the :class:`zarr.Group`. Processes and threads may write to one folder at once, as
    every write is of whole chunks, each a file written under another name and renamed.
    """

    # chunks of CHUNK_STEPS x LABEL_GROUP: benchmarks/results/zarr_tracks.csv
    CHUNK_STEPS = 2**16

    def __init__(self, group) -> None:
        self.group = group
        try:
            self.sizes: dict[str, int] = dict(group.attrs["sizes"])
            self.labels: list[str] = list(group.attrs["labels"])
            self.stride, self.kind = int(group.attrs["stride"]), str(group.attrs["kind"])
            self._arrays = {chrom: group[chrom] for chrom in self.sizes}
            self._writers: dict = {}
        except KeyError as error:
            raise TcnfastError(
                f"{group.store_path}: no tracks of tcnfast scan (it has no {error})"
            ) from None

    @classmethod
    def create(
        cls,
        folder: str | Path,
        sizes: Mapping[str, int],
        labels: list[str],
        stride: int,
        kind: str,
        attributes: Mapping | None = None,
    ) -> ZarrTracks:
        """A new folder without a score. ``kind``: "uint8" or "fp16"; ``attributes``: JSON values to
        keep beside ours, as the model that made the scores.

        Raises TcnfastError where zarr is not installed, for another kind, and for a contig whose
        name cannot be that of an array.
        """
        zarr = _zarr()
        if kind not in KINDS:
            raise TcnfastError(f"zarr tracks of kind {kind!r}: must be one of {', '.join(KINDS)}")
        for chrom in sizes:
            _check_name(chrom)
        version = {"tcnfast": run_record.version()}
        facts = {**(attributes or {}), **version, **_facts(kind)}
        group = zarr.create_group(folder, attributes=facts)
        group.attrs.update(stride=stride, labels=list(labels), sizes=dict(sizes))
        names = group.create_array(
            NAMES_OF_LABELS, shape=(len(labels),), dtype=str, dimension_names=[NAMES_OF_LABELS]
        )
        names[:] = np.array(labels, dtype=object)
        for chrom, size in sizes.items():
            _create_array(group, chrom, (-(-size // stride), len(labels)), kind, stride)
        _consolidate(zarr, folder)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path, mode: str = "r+") -> ZarrTracks:
        """The tracks in a folder; ``mode`` "r" for reading only. Raises TcnfastError where there is
        none, or zarr is not installed."""
        zarr = _zarr()
        try:
            return cls(zarr.open_group(folder, mode=mode))
        except FileNotFoundError:
            raise TcnfastError(f"{folder}: holds no zarr tracks") from None

    def steps(self, chrom: str) -> int:
        """Steps of a contig; the last may be partial."""
        return self._arrays[chrom].shape[0]

    def put(self, chrom: str, first_step: int, levels: np.ndarray) -> None:
        """Write what :func:`encode` makes of the logits of the steps from ``first_step`` on. No
        file holds steps without a score.

        Raises ValueError unless these are whole chunks: CHUNK_STEPS long, or up to the contig's
        end.
        """
        array, last_step = self._arrays[chrom], first_step + len(levels)
        if levels.shape[1] != len(self.labels):
            raise ValueError(f"{levels.shape[1]} columns for {len(self.labels)} labels")
        whole_end = last_step % self.CHUNK_STEPS == 0 or last_step == array.shape[0]
        if first_step % self.CHUNK_STEPS or not whole_end or last_step > array.shape[0]:
            raise ValueError(f"steps {first_step} to {last_step} of {chrom} are not whole chunks")
        for first in range(first_step, last_step, self.CHUNK_STEPS):
            part = levels[first - first_step :][: self.CHUNK_STEPS]
            target = array if _all_unscored(part) else self._writer(chrom)
            with writing(Path(self.group.store.root, chrom), part.nbytes):
                target[first : first + len(part)] = part

    def _writer(self, chrom: str):
        """The array of a contig for chunks that are known to hold something: finding that out takes
        zarr half of the time of a write."""
        if chrom not in self._writers:
            self._writers[chrom] = _zarr().open_array(
                self.group.store, path=chrom, mode="r+", config={"write_empty_chunks": True}
            )
        return self._writers[chrom]

    def probabilities(
        self, chrom: str, label: str, first_step: int = 0, last_step: int | None = None
    ) -> np.ndarray:
        """float32 (steps,) of one label, NaN where there is no score."""
        if label not in self.labels:
            raise TcnfastError(f"{self.group.store_path}: holds no label {label!r}")
        levels = self._arrays[chrom][first_step:last_step, self.labels.index(label)]
        if self.kind == "uint8":
            return table()[levels]
        return _probability(levels.astype(np.float32))


class ZarrStretch:
    """Collects the steps [``first_step``, ``last_step``) of a contig, which come in order and in
    pieces of any length, and writes them in whole chunks; what never came has no score.

    The stretch itself must be of whole chunks. In memory is one chunk of all labels.
    """

    def __init__(
        self,
        tracks: ZarrTracks,
        chrom: str,
        first_step: int = 0,
        last_step: int | None = None,
    ) -> None:
        self._tracks, self._chrom = tracks, chrom
        self._chunk = first_step  # where the chunk in memory begins
        self._end = tracks.steps(chrom) if last_step is None else last_step
        steps = min(tracks.CHUNK_STEPS, self._end - first_step)
        self._levels = np.empty((steps, len(tracks.labels)), KINDS[tracks.kind])
        self._levels[:] = _fill(tracks.kind)

    def add(self, first_step: int, logits: np.ndarray, columns: np.ndarray | None = None) -> None:
        """``logits`` float32 (steps, labels); or, of more labels, those of ``columns``."""
        at = 0
        while at < len(logits):
            step = first_step + at
            while step >= self._chunk + self._tracks.CHUNK_STEPS:
                self._write()
            row = step - self._chunk
            n = min(len(logits) - at, self._tracks.CHUNK_STEPS - row)
            part = encode(logits[at : at + n], self._tracks.kind, columns)
            self._levels[row : row + n] = part
            at += n

    def finish(self) -> None:
        """Write what is left."""
        if self._chunk < self._end:
            self._write()

    def _write(self) -> None:
        levels = self._levels[: self._end - self._chunk]
        self._tracks.put(self._chrom, self._chunk, levels)
        self._chunk += self._tracks.CHUNK_STEPS
        self._levels[:] = _fill(self._tracks.kind)


def encode(logits: np.ndarray, kind: str, columns: np.ndarray | None = None) -> np.ndarray:
    """float32 logits (steps, labels), or those of ``columns``, as tracks keep them: uint8 levels
    or float16."""
    if columns is not None and not np.array_equal(columns, np.arange(logits.shape[1])):
        logits = logits.take(columns, axis=1)
    if kind == "uint8":
        levels = np.empty(logits.shape, np.uint8)
        _levels(logits, levels)
        return levels
    import torch  # converts eight times faster than numpy

    return torch.from_numpy(np.ascontiguousarray(logits)).half().numpy()


def table() -> np.ndarray:
    """Probability of each uint8 level, float32 (256,); NaN of the last, which is no score."""
    logits = np.arange(256, dtype=np.float32) / PER_LOGIT + LOWEST
    logits[NO_SCORE] = np.nan
    return _probability(logits)


@jit
def _level(logit):
    """Rounded, and without a branch, so that the loops around it become vector instructions."""
    place = (logit - LOWEST) * PER_LOGIT + np.float32(0.5)
    level = np.uint8(np.int32(min(max(place, np.float32(0)), HIGHEST)))
    return np.uint8(NO_SCORE) if logit != logit else level


@jit
def _levels(logits, out):
    for step in range(logits.shape[0]):
        for label in range(logits.shape[1]):
            out[step, label] = _level(logits[step, label])


def _probability(logits: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits))


def _fill(kind: str) -> int | float:
    return NO_SCORE if kind == "uint8" else float("nan")


def _all_unscored(levels: np.ndarray) -> bool:
    """Whether no step has a score: a gap of the assembly. Looks at one column first."""
    for part in (levels[:, :1], levels):
        known = ~np.isnan(part) if part.dtype == np.float16 else part != NO_SCORE
        if known.any():
            return False
    return True


def _facts(kind: str) -> dict:
    """Attributes of the group that depend on nothing else."""
    facts = {"kind": kind, "coordinates": COORDINATES, "meaning": MEANING}
    if kind == "fp16":
        return {**facts, "quantisation": "float16 logits, NaN: no score"}
    words = "logit = level / 16 - 8, off by at most 1/32 from -8 to 7.875; 255: no score"
    probabilities = [round(p, 7) for p in table()[:NO_SCORE].tolist()]
    return {**facts, "quantisation": words, "probabilities": [*probabilities, None]}


def _create_array(group, chrom: str, shape: tuple[int, int], kind: str, stride: int) -> None:
    from zarr.codecs import BloscCodec, TransposeCodec, ZstdCodec

    attributes = {"long_name": MEANING, "stride": stride}
    compressor = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=2)
    if kind == "uint8":
        # as the CF conventions name them, so that xarray decodes the levels
        scale, offset = 1 / float(PER_LOGIT), float(LOWEST)
        attributes |= {"scale_factor": scale, "add_offset": offset, "_FillValue": NO_SCORE}
        compressor = ZstdCodec(level=1)
    group.create_array(
        chrom,
        shape=shape,
        dtype=KINDS[kind],
        chunks=(max(1, min(ZarrTracks.CHUNK_STEPS, shape[0])), min(LABEL_GROUP, shape[1])),
        filters=[TransposeCodec(order=(1, 0))],  # label after label: a tenth smaller
        compressors=compressor,
        fill_value=_fill(kind),
        dimension_names=[f"{chrom}_step", NAMES_OF_LABELS],
        attributes=attributes,
    )


def _check_name(chrom: str) -> None:
    reserved = chrom == NAMES_OF_LABELS or chrom.startswith("__") or not chrom.strip(".")
    if reserved or "/" in chrom or chrom == "zarr.json" or len(chrom.encode()) > 255:
        raise TcnfastError(
            f"contig {chrom!r}: no name for an array of zarr tracks; leave it out with --chroms, "
            "or write bigWig tracks"
        )


def _consolidate(zarr, folder: str | Path) -> None:
    """Copy all metadata, which never change, into the group's file: xarray looks for them there."""
    import warnings

    with warnings.catch_warnings():
        # that the specification does not have it yet; who does not know it passes it over
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(folder)


def _zarr():
    try:
        import zarr
    except ImportError:
        raise TcnfastError(f"zarr tracks need the package zarr: {install('zarr')}") from None
    number = tuple(int(x) for x in zarr.__version__.split(".")[:3] if x.isdigit())
    if number < OLDEST:
        oldest, here = ".".join(map(str, OLDEST)), zarr.__version__
        raise TcnfastError(f"zarr tracks need zarr {oldest}, here is {here}: {install('zarr')}")
    return zarr
