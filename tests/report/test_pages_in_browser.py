"""Pages of report, evaluate, cobind and variants in a real browser, from disk: they ask for
nothing, sort and find by clicks, fit a phone, and names that are markup do nothing."""

from dataclasses import replace

import numpy as np
import pytest
from support.chrome import SIZES, complaints, open_page, wait
from support.cobind import random_pairs
from support.models import random_model
from support.motif import planted_windows, write_attributions
from support.report import write_folder
from support.scan import random_letters, write_fasta

import tcnfast
from tcnfast.cobind.cobind_pages import write_influence_page, write_pair_page
from tcnfast.cobind.influence import Influence, InfluenceTable
from tcnfast.evaluate.assessment import Windows, assess
from tcnfast.evaluate.evaluation_report import Evaluation
from tcnfast.pwm.meme import Motif
from tcnfast.report import report

pytestmark = pytest.mark.browser
EVIL = '<img/src=x/onerror="document.title=1">'
LABELS = [f"A{EVIL}@K562", "</script><script>document.title=1</script>", "CTCF@K562", "REST@x"]
SHOWN = """
const rows = [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].filter((r) => !r.hidden);
return rows.map((r) => r.cells[arguments[1]].textContent);
"""

OUTSIDE = """
return [...document.querySelectorAll("svg.chart")].flatMap((svg) => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const { left, right, top, bottom } = text.getBoundingClientRect();
    return Math.min(left - box.left, box.right - right, top - box.top, box.bottom - bottom) < -1;
  }).map((text) => text.textContent);
});
"""
LETTERS = """
const [start, done] = arguments, browser = document.getElementById("igv").browser;
const { track } = browser.trackViews.find(({ track }) => track.graphType === "dynseq");
const place = [browser.referenceFrameList[0].chr, start, start + 121];
Promise.all([browser.genome.getSequence(...place), track.getFeatures(...place, 0.1)])
  .then(([letters, rows]) => done([letters, rows.map((f) => [f.start, f.sequence, f.value])]));
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pages by name, all with the labels of LABELS, and the same contig, motif and title."""
    home = tmp_path_factory.mktemp("pages")
    return {
        "report": report_page(home / "report"),
        "evaluate": evaluate_page(home / "evaluate"),
        "pairs": pairs_page(home / "pairs"),
        "sites": sites_page(home / "sites"),
        "variants": variants_page(home / "variants"),
    }


def report_page(folder):
    folder.mkdir()
    attributions, _, _ = planted_windows(LABELS[0], {"ONE": 1.0}, 5)
    attributions = replace(attributions, chrom=np.array([EVIL] * 5))
    other = replace(attributions, label="REST@x", hypothetical=-attributions.hypothetical)
    write_attributions(folder / "attributions", attributions, other)
    scan = write_folder(folder / "scan", "scan")
    rows = ["label\tchrom\tthreshold\texpected_precision\tcalls\tbases\tgrade"]
    rows += [f"{x}\tall\t0.3\t0.{9 - i}\t{10 * i}\t9\t{'ABCD'[i]}" for i, x in enumerate(LABELS)]
    (scan / "summary.tsv").write_text("\n".join(rows) + "\n")
    folders = [folder / "attributions", scan]
    return report(folders, out=folder / "page.html", title=EVIL, loci=2)


def evaluate_page(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    targets = (rng.random((4_000, 4)) < 0.05).astype(np.uint8)
    blocks = np.arange(4_000, dtype=np.int32) // 500
    windows = Windows(LABELS, targets, blocks, np.zeros(4_000, bool))
    logits = (rng.normal(size=targets.shape) + targets * [0.5, 1, 2, 3]).astype(np.float32)
    assessment = assess(windows, logits, np.zeros(4), resamples=20)
    Evaluation(EVIL, "valid", "f1", assessment).write(folder)
    return folder / "index.html"


def pairs_page(folder):
    folder.mkdir()
    table = random_pairs(LABELS)
    write_pair_page(folder, {"observed": table}, {"observed": table.graph(1.0, 0.1)}, {})
    return folder / "index.html"


def sites_page(folder):
    folder.mkdir()
    motif = Motif(EVIL, "M1", np.full((5, 4), 0.25))
    about = 20, 20, -2, -0.5, -1.5, -2, -1, 0.01
    rows = [Influence(motif, label, *about) for label in LABELS]
    write_influence_page(folder, InfluenceTable(rows))
    return folder / "index.html"


def variants_page(folder):
    folder.mkdir()
    letters = bytes(random_letters(3_000)).decode()
    write_fasta(folder / "g.fa", {EVIL: letters.encode()})
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    rows = ["chrom\tpos\tref\talt\tid"]
    for i, pos in enumerate((1_000, 1_500, 2_000)):
        ref = letters[pos - 1]
        rows.append(f"{EVIL}\t{pos}\t{ref}\t{other[ref]}\t{EVIL}{i}")
    (folder / "v.tsv").write_text("\n".join(rows) + "\n")
    network = random_model(LABELS, blocks=3)
    genome = folder / "g.fa"
    out = tcnfast.variants(folder / "v.tsv", genome, network, folder / "out", explain=3)
    return out.path / "top.html"


PAGES = ("report", "evaluate", "pairs", "sites", "variants")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_fits_and_its_names_do_nothing(chrome, made, name, size):
    open_page(chrome, made[name], size, ready=True)
    assert complaints(chrome) == []
    assert chrome.title != "1" and not chrome.find_elements("css selector", "body img[src=x]")
    width = chrome.execute_script("return document.documentElement.scrollWidth")
    assert width <= SIZES[size][0]
    text = chrome.find_element("tag name", "body").text
    assert "onerror" in text, "names are shown as they are"
    # of every table the first column and a number or two are seen without scrolling
    for table in chrome.find_elements("css selector", "table.sorts"):
        edge = table.find_element("xpath", "..").rect
        edge = edge["x"] + edge["width"] + 1
        heads = table.find_elements("css selector", "thead th")
        heads = [x for x in heads if x.is_displayed()]
        seen = [x for x in heads if x.rect["x"] + x.rect["width"] <= edge]
        assert len(seen) >= min(2, len(heads)) and seen[0].text


@pytest.mark.parametrize("size", SIZES)
def test_nothing_of_a_picture_is_cut_off(chrome, made, size):
    for name in ("pairs", "sites", "evaluate"):
        open_page(chrome, made[name], size, ready=True)
        outside = chrome.execute_script(OUTSIDE)
        assert outside == [], name


def column(chrome, table, at):
    return chrome.execute_script(SHOWN, table, at)


@pytest.mark.parametrize(
    "name, table, key, at",
    [
        ("report", "overview", "calls", 2),
        ("evaluate", "scores", "AP", 1),
        ("pairs", "observed-pairs", "fold", 2),
        ("variants", "variants", "change", 3),
    ],
)
def test_a_table_sorts_and_finds_by_clicks(chrome, made, name, table, key, at):
    open_page(chrome, made[name], "desktop", ready=True)
    head = chrome.find_element("css selector", f"#{table} th[data-key='{key}'] button")
    before = column(chrome, table, at)
    for reverse in (True, False):
        head.click()
        numbers = [float(x.replace(",", "")) for x in column(chrome, table, at) if x]
        assert numbers == sorted(numbers, reverse=reverse) and len(numbers) == len(before) > 1
    box = chrome.find_element("id", f"{table}-find")
    word = column(chrome, table, 0)[0]
    box.send_keys(word[:9] if name == "variants" else "rest")
    wait(lambda: chrome.find_element("id", f"{table}-found").text)
    if name in ("report", "evaluate"):
        assert all("rest" in x.lower() for x in column(chrome, table, 0))
    box.send_keys("-nothing-of-this-name")
    wait(lambda: column(chrome, table, 0) == [])
    assert complaints(chrome) == []


def test_attributions_are_letters_at_their_place(chrome, made):
    open_page(chrome, made["report"], "desktop", ready=True)
    button = chrome.find_elements("css selector", "button.show")[1]
    chrome.execute_script("arguments[0].click()", button)
    title = button.find_element("xpath", "../strong").text
    first = int(title.rpartition(":")[2].partition("-")[0].replace(",", "")) - 1
    frame = "const f = document.getElementById('igv').browser.referenceFrameList[0];"
    where = frame + "return [f.chr, f.start, f.end]"
    wait(lambda: first < chrome.execute_script(where)[1] + 60 < first + 121)
    letters, features = chrome.execute_async_script(LETTERS, first)
    assert len(letters) == len(features) == 121
    assert all(letter == letters[start - first] for start, letter, _ in features)
    assert max(abs(value) for _, _, value in features) > 0.5
    assert complaints(chrome) == []
