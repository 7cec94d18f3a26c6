"""Motifs in attributions: planted ones come back with their places, and what cannot be searched is
told."""

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from support.cli import fails
from support.motif import QUICK, planted_windows, random_motifs, sharp, write_attributions
from support.planted import MOTIFS
from support.scan import files_in

from tcnfast.attribute.attribution_folder import AttributionFolder
from tcnfast.attribute.attributions import Attributions
from tcnfast.base.errors import TcnfastError
from tcnfast.base.tables import read_table
from tcnfast.genome.intervals import read_bed
from tcnfast.motifs import MotifOptions, convert, tfmodisco
from tcnfast.motifs import motifs as find_motifs
from tcnfast.motifs import motifs_run as motifs_module
from tcnfast.motifs.modisco_options import ModiscoOptions
from tcnfast.motifs.motif_folder import MotifFolder
from tcnfast.motifs.patterns import PatternSet
from tcnfast.pwm.meme import read_meme, write_meme

pytest.importorskip("modiscolite", reason="the extra motifs is not installed")
pytest.importorskip("memelite", reason="the extra motifs is not installed")


def options(folder, **more):
    return MotifOptions(motifs=folder / "known.meme", **QUICK.parameters, **more)


def rows(folder, name):
    return read_table(folder / name, ("label",))


@pytest.fixture(scope="module")
def found(planted_folder, tmp_path_factory):
    """Motifs of all three labels, with hits along the genome."""
    folder, _ = planted_folder
    out = tmp_path_factory.mktemp("found") / "motifs"
    bed = out.parent / "regions.bed"
    bed.write_text("chr1\t200\t5000\nchr1\t4000\t9000\n")
    wanted = options(folder, regions=bed, genome=folder / "genome.fa")
    return find_motifs(folder / "attributions", out, options=wanted)


# what is found


def test_planted_motifs_come_back_and_match(found):
    table = [row for row in rows(found.path, "motifs.tsv") if row["label"] == "ONE@x"]
    assert {row["match_name"] for row in table} == {"ONE", "TWO"} and len(table) == 2
    for row in table:
        assert row["sign"] == "pos" and float(row["q"]) < 1e-3 and int(row["seqlets"]) >= 75
        assert float(row["similarity"]) > 0.9
    named = next(row for row in table if row["match_name"] == "ONE")
    assert named["named_match"] == "M_ONE" and named["named_q"] == named["q"]


def test_a_motif_that_lowers_the_score_is_negative(found):
    (row,) = [row for row in rows(found.path, "motifs.tsv") if row["label"] == "TWO@x"]
    assert (row["pattern"], row["sign"], row["match_name"]) == ("neg_0", "neg", "TWO")
    (pattern,) = PatternSet.open(found.path / "patterns" / "TWO@x.npz").patterns
    assert (pattern.score < 0).all() and pattern.contributions.sum() < 0


def test_seqlets_lie_where_the_motifs_were_planted(found, planted_folder):
    truth = planted_folder[1]
    best = [row for row in rows(found.path, "matches.tsv") if row["rank"] == "1"]
    strands = {row["pattern"]: row["strand"] for row in best if row["label"] == "ONE@x"}
    lines = (found.path / "seqlets" / "ONE@x.bed").read_text().splitlines()
    assert lines[0].startswith("#chrom\tstart\tend\tpattern")
    right = 0
    for line in lines[1:]:
        chrom, start, end, pattern, score, strand, label, _, _, match = line.split("\t")
        assert (chrom, label) == ("chr1", "ONE@x") and 0 <= int(score) <= 1000
        # a pattern may have been read on the other strand of the known motif
        strand = strand if strands[pattern] == "+" else {"+": "-", "-": "+"}[strand]
        there = [at for at, side in truth[match] if side == strand]
        right += sum(int(start) <= at and at + 12 <= int(end) for at in there) == 1
    assert len(lines) - 1 >= 155 and right == len(lines) - 1


def test_distances_are_from_the_middle_of_the_window(found, planted_folder):
    attributions = Attributions.open(planted_folder[0] / "attributions" / "ONE@x.npz")
    for pattern in PatternSet.open(found.path / "patterns" / "ONE@x.npz").patterns:
        begin, end = pattern.sites
        middle = attributions.start[pattern.window] + 60
        assert np.abs((begin + end) / 2 - middle - pattern.distance).max() <= 1


def test_the_meme_file_holds_the_trimmed_motifs(found):
    motifs = {motif.id: motif for motif in read_meme(found.path / "motifs.meme")}
    for row in rows(found.path, "motifs.tsv"):
        motif = motifs[f"{row['label']}.{row['pattern']}"]
        assert motif.name == row["match_name"]
        assert len(motif.probabilities) == len(row["consensus"])
        best = np.array(list("ACGT"))[motif.probabilities.argmax(1)]
        assert all(a in ("n", b) for a, b in zip(row["consensus"], best, strict=True))
    known = {motif.id for motif in read_meme(found.path / "matches.meme")}
    assert known == {row["match"] for row in rows(found.path, "matches.tsv")}


def test_hits_lie_in_the_regions_and_are_told_once(found, planted_folder):
    truth = {at for sites in planted_folder[1].values() for at, _ in sites}
    lines = (found.path / "hits" / "ONE@x.bed").read_text().splitlines()[1:]
    spots = [tuple(line.split("\t")[:4]) for line in lines]
    assert len(set(spots)) == len(spots) and spots
    assert all(200 <= int(a) and int(b) <= 9000 for _, a, b, _ in spots)
    hit = {at for at in truth if any(int(a) <= at < int(b) for _, a, b, _ in spots)}
    assert hit >= {at for at in truth if 250 <= at < 8900}


def test_labels_that_cannot_be_searched_are_told(found, caplog):
    assert list(found.failed) == ["FEW@x"] and "min_metacluster_size" in found.failed["FEW@x"]
    table = {row["label"]: row for row in rows(found.path, "labels.tsv")}
    assert table["FEW@x"]["patterns"] == "0" and "seqlets in 12 windows" in table["FEW@x"]["note"]
    assert table["ONE@x"]["windows"] == "160"
    record = json.loads((found.path / "run.json").read_text())
    assert record["key"]["modisco"]["min_metacluster_size"] == 30
    assert record["versions"]["modisco-lite"].startswith("3.")


def test_the_folder_is_read_in_one_place(found, tmp_path):
    again = MotifFolder(found.path)
    assert again.labels == ["ONE@x", "TWO@x", "FEW@x"] and again.failed == found.failed
    assert again.summary["patterns"].tolist() == [2, 1, 0]
    assert again.motifs["q"].max() < 1e-3 and again.motifs["match_name"].iloc[2] == "TWO"
    assert set(again.matches["match"]) == set(again.known)
    places = again.seqlets("ONE@x")
    assert len(places) >= 155 and set(places["strand"]) == {"+", "-"}
    assert (places["end"] > places["start"]).all() and set(places["chrom"]) == {"chr1"}
    hits = again.hits("TWO@x")
    assert hits["p"].max() < 1e-4 and set(hits["pattern"]) == {"neg_0"}
    with pytest.raises(TcnfastError, match="has no motifs of 'NO@x'"):
        again.patterns("NO@x")
    with pytest.raises(TcnfastError, match="no output of tcnfast motifs"):
        MotifFolder(tmp_path)


# the command


def test_the_command_says_by_its_exit_code_that_a_label_failed(run, planted_folder, monkeypatch):
    folder, _ = planted_folder
    words = ["motifs", folder / "attributions", "-o", "out", "--motifs", folder / "known.meme"]
    for field in dataclasses.fields(QUICK):
        words.append(f"--{field.name.replace('_', '-')}={getattr(QUICK, field.name)}")
    code, out, err = run(*words, "-t", "TWO@x,NONE@x")
    assert code == 1 and out == "" and "NONE@x: no attributions of it" in err
    assert "1 motif of 1 label in" in err
    code, _, err = run(*words, "-t", "TWO@x", "--force")
    assert code == 0
    fails(run(*words, "-t", "NONE@x", "--force"), "none of these labels", "ONE@x")


def test_the_parameters_are_those_of_tfmodisco():
    import inspect

    from modiscolite.tfmodisco import TFMoDISco

    theirs = inspect.signature(TFMoDISco).parameters
    ours = ModiscoOptions().arguments
    assert set(ours) <= set(theirs)
    differing = {name for name, value in ours.items() if theirs[name].default != value}
    assert differing == {"n_leiden_runs"}


# a run that was killed


def test_a_resumed_run_gives_the_same_bytes(found, planted_folder, tmp_path, monkeypatch):
    folder, _ = planted_folder
    bed = found.path.parent / "regions.bed"
    wanted = options(folder, regions=bed, genome=folder / "genome.fa")
    searched = []

    def killed(attributions, config):
        if len(searched) == 2:
            raise KeyboardInterrupt
        searched.append(attributions.label)
        return tfmodisco.discover(attributions, config)

    monkeypatch.setattr(motifs_module, "discover", killed)
    with pytest.raises(KeyboardInterrupt):
        find_motifs(folder / "attributions", tmp_path / "out", options=wanted)
    assert not (tmp_path / "out").exists()
    searched.pop()  # the third may run now
    done = set(searched)
    again = find_motifs(folder / "attributions", tmp_path / "out", options=wanted, resume=True)
    assert set(searched[1:]).isdisjoint(done) and again.failed == found.failed
    names = set(files_in(found.path))
    assert names == set(files_in(tmp_path / "out"))
    for name in names - {"run.json"}:
        assert (found.path / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    once_more = find_motifs(folder / "attributions", tmp_path / "out", options=wanted, resume=True)
    assert once_more.failed == found.failed


# what is not searched twice, and what cannot be searched


def test_windows_that_are_there_twice_are_searched_once():
    whole, _, _ = planted_windows("ONE@x", {"ONE": 1.0}, 60)
    twice = dataclasses.replace(
        whole,
        **{
            name: np.concatenate([getattr(whole, name)] * 2)
            for name in ("chrom", "start", "codes", "hypothetical", "logit")
        },
    )
    once, both = (tfmodisco.discover(one, QUICK) for one in (whole, twice))
    assert both.windows == once.windows == 60
    for a, b in zip(once.patterns, both.patterns, strict=True):
        assert a.name == b.name and np.array_equal(a.start, b.start)


def test_unknown_bases_contribute_nothing():
    whole, truth, _ = planted_windows("ONE@x", {"ONE": 1.0}, 60)
    codes = whole.codes.copy()
    codes[:, :15] = 4
    hypothetical = whole.hypothetical.copy()
    hypothetical[:, :, :15] = 50  # what stands at N must not be looked at
    masked = dataclasses.replace(whole, codes=codes, hypothetical=hypothetical)
    (pattern,) = tfmodisco.discover(masked, QUICK).patterns
    assert len(pattern) >= 55 and np.isfinite(pattern.frequencies).all()


def test_what_is_no_number_is_refused():
    whole, _, _ = planted_windows("ONE@x", {"ONE": 1.0}, 40)
    whole.hypothetical[3, 1, 60] = np.nan
    with pytest.raises(TcnfastError, match="ONE@x: attributions hold NaN"):
        tfmodisco.discover(whole, QUICK)


def test_attributions_of_nothing_are_too_few_seqlets():
    whole, _, _ = planted_windows("ONE@x", {"ONE": 1.0}, 40)
    nothing = dataclasses.replace(whole, hypothetical=np.zeros_like(whole.hypothetical))
    with pytest.raises(tfmodisco.TooFewSeqlets, match="all attributions are 0"):
        tfmodisco.discover(nothing, QUICK)


def test_a_window_wider_than_the_attributions_is_refused():
    whole, _, _ = planted_windows("ONE@x", {"ONE": 1.0}, 40)
    with pytest.raises(TcnfastError, match="windows of 121 bp are shorter than the 400"):
        tfmodisco.discover(whole, ModiscoOptions())


def test_without_modisco_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "modiscolite", None)
    with pytest.raises(TcnfastError, match=r"pip install 'tcnfast\[motifs\]'"):
        find_motifs(tmp_path, tmp_path / "out")


def test_an_older_modisco_in_its_place_is_told(monkeypatch, tmp_path):
    import modiscolite

    monkeypatch.setattr(modiscolite, "__version__", "2.5.2")
    with pytest.raises(TcnfastError, match="modiscolite 2.5.2 is installed, needs 3"):
        find_motifs(tmp_path, tmp_path / "out")


def test_a_folder_without_attributions_is_refused(tmp_path):
    with pytest.raises(TcnfastError, match="is no output of tcnfast attribute"):
        find_motifs(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "setting, words",
    [({"window": 30}, "must hold a seqlet"), ({"n_leiden_runs": 0}, "must be at least 1")],
)
def test_settings_that_cannot_be_are_refused(setting, words):
    with pytest.raises(TcnfastError, match=words):
        ModiscoOptions(**setting)


def test_hits_need_a_genome_and_regions():
    with pytest.raises(TcnfastError, match="regions and genome"):
        MotifOptions(regions="x.bed")


# a network that was trained


LEARNED = {  # what stands in the windows of a label, and the sign of the motifs that must come back
    "SINGLE": ([("SINGLE",)], {"SINGLE": "pos"}),
    "PAIR": ([("FIRST", "SECOND")], {"FIRST": "pos", "SECOND": "pos"}),
    "REPRESSED": (
        [("ACTIVATOR",), ("ACTIVATOR", "REPRESSOR")],
        {"ACTIVATOR": "pos", "REPRESSOR": "neg"},
    ),
}


@pytest.mark.parametrize("label", LEARNED)
def test_what_a_network_learned_comes_back(planted, label, tmp_path):
    """The model of support/planted.py: TomTom q < 1e-3 for all that was planted.

    A repressor is sought where it stands: a window in which it is has no site."""
    kinds, expected = LEARNED[label]
    windows = np.concatenate([planted.of(*kind)[: 160 // len(kinds)] for kind in kinds])
    known = random_motifs(40) + [sharp(letters, name) for name, letters in MOTIFS.items()]
    write_meme(tmp_path / "known.meme", known, [20] * len(known))
    write_attributions(tmp_path / "in", planted.attributions(label, steps=8, rows=windows))
    found = find_motifs(tmp_path / "in", tmp_path / "out", options=options(tmp_path))
    matched = [row for row in rows(found.path, "motifs.tsv") if row["q"] != "NA"]
    matched = [row for row in matched if float(row["q"]) < 1e-3]
    assert {row["match_name"]: row["sign"] for row in matched} == expected
    for motif in expected:
        sites = sum(motif in kind for kind in planted.standing(windows))
        seqlets = sum(int(row["seqlets"]) for row in matched if row["match_name"] == motif)
        assert 0.6 * sites <= seqlets <= 1.1 * sites, (motif, seqlets, sites)


# files of other programs


def test_files_that_modisco_finemo_and_tangermeme_take(planted_folder, found, tmp_path):
    """Read as each documents it: modisco -s -a (arr_0) and its h5, finemo's regions.npz."""
    h5py = pytest.importorskip("h5py")
    source = AttributionFolder(planted_folder[0] / "attributions")
    convert([source.path, found.path], tmp_path / "peers", targets="ONE@x")
    made = source.attributions("ONE@x")
    names = {x.name.removeprefix("ONE@x.") for x in (tmp_path / "peers").iterdir()}
    npz = {"sequences.npz", "attributions.npz", "regions.npz"}
    assert names == npz | {"narrowPeak", "modisco.h5", "run.json"}

    one_hot = np.load(tmp_path / "peers" / "ONE@x.sequences.npz")["arr_0"]
    values = np.load(tmp_path / "peers" / "ONE@x.attributions.npz")["arr_0"]
    assert one_hot.shape == values.shape == (len(made), 4, made.width)
    assert (one_hot.dtype, values.dtype) == (np.int8, np.float16)
    np.testing.assert_array_equal(one_hot.argmax(1)[made.codes < 4], made.codes[made.codes < 4])
    assert (one_hot.sum(1) == (made.codes < 4)).all()
    np.testing.assert_array_equal(values, made.hypothetical.astype(np.float16))

    with np.load(tmp_path / "peers" / "ONE@x.regions.npz") as regions:
        wanted = dict(sequences=one_hot, contributions=values, chr=made.chrom, start=made.start)
        for name, want in (wanted | {"peak_id": np.arange(len(made))}).items():
            np.testing.assert_array_equal(regions[name], want)
        assert regions["chr_id"].dtype == np.uint32 and len(regions["peak_name"]) == len(made)
    peaks = read_bed(tmp_path / "peers" / "ONE@x.narrowPeak", summits=True)
    np.testing.assert_array_equal(peaks.centre - made.width // 2, made.start)

    patterns, window = found.patterns("ONE@x").patterns, found.record["key"]["modisco"]["window"]
    with h5py.File(tmp_path / "peers" / "ONE@x.modisco.h5") as file:
        assert file.attrs["window_size"] == window and list(file) == ["pos_patterns"]
        assert len(file["pos_patterns"]) == len(patterns)
        for number, pattern in enumerate(patterns):
            one = file[f"pos_patterns/pattern_{number}"]
            np.testing.assert_array_equal(one["contrib_scores"][:], pattern.contributions)
            seqlets = {name: one[f"seqlets/{name}"][:] for name in one["seqlets"]}
            first = made.start[seqlets["example_idx"]] + made.width // 2 - window // 2
            np.testing.assert_array_equal(first + seqlets["start"], pattern.start)
            np.testing.assert_array_equal(seqlets["end"] - seqlets["start"], pattern.width)
            assert seqlets["n_seqlets"].tolist() == [len(pattern)]


def test_modisco_reads_the_motifs_back(found, tmp_path):
    """Of one label: its writer keeps the motifs of a call for the next one in the process."""
    io = pytest.importorskip("modiscolite.io")
    from modiscolite.util import MemeDataType

    convert(found.path, tmp_path / "peers")
    path = tmp_path / "peers" / "TWO@x.modisco.h5"
    io.write_meme_from_h5(path, MemeDataType.PFM, tmp_path / "m.meme", True)
    (motif,), (pattern,) = read_meme(tmp_path / "m.meme"), found.patterns("TWO@x").patterns
    assert motif.id == "neg_patterns.pattern_0" and pattern.name == "neg_0"
    np.testing.assert_allclose(motif.probabilities, pattern.frequencies, atol=1e-5)
    assert not (tmp_path / "peers" / "FEW@x.modisco.h5").exists()  # it has none


def test_no_run_replaces_another_in_a_conversion(planted_folder, tmp_path):
    attributions = planted_folder[0] / "attributions"
    again = shutil.copytree(attributions, tmp_path / "again")
    for both in ([attributions, attributions], [attributions, again]):
        with pytest.raises(TcnfastError, match="its .* would replace that of .*; convert them one"):
            convert(both, tmp_path / "x")
        assert not (tmp_path / "x").exists()


def test_what_cannot_be_converted_is_told(planted_folder, tmp_path):
    attributions = planted_folder[0] / "attributions"
    with pytest.raises(TcnfastError, match="no output of tcnfast attribute or tcnfast motifs"):
        convert(tmp_path, tmp_path / "x")
    with pytest.raises(TcnfastError, match="did you mean ONE@x"):
        convert(attributions, tmp_path / "x", targets="ONES@x")
    convert(attributions, tmp_path / "x", targets="FEW@x")
    with pytest.raises(TcnfastError, match="exists"):
        convert(attributions, tmp_path / "x", targets="ONE@x")
