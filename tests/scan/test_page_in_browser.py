"""The page of a scan in a real browser, from disk: what it shows and what it does when pressed."""

import numpy as np
import pytest
from support.chrome import SIZES, complaints, open_page, wait
from support.scan import random_letters, write_fasta

import tcnfast
from tcnfast.engines.plan import Plan
from tcnfast.model.load_model import load_model
from tcnfast.pwm.meme import Motif, write_meme

pytestmark = pytest.mark.browser
CALLED = "return [...document.querySelectorAll('#table tbody tr')].filter(r => !r.hidden)"
FIRST = CALLED + ".map(r => r.cells[0].textContent)"


@pytest.fixture(scope="module")
def scanned(model, tmp_path_factory):
    """A scan of two contigs with one call of the first label, planted on the second."""
    folder = tmp_path_factory.mktemp("browser")
    network = load_model(model)
    plan = Plan(network, "cpu", "fp32", 32, strand="both")
    letters = random_letters(200_000, 5)
    codes = tcnfast.encode(letters.tobytes())
    best = int(plan(codes)[:, 0].argmax())
    half = plan.receptive_field // 2
    site = letters[32 * best : 32 * best + plan.receptive_field]
    contigs = {"chr1": np.full(40_000, ord("A"), np.uint8)}
    contigs["chr2"] = np.full(60_000, ord("A"), np.uint8)
    contigs["chr2"][30_000 - half : 30_000 - half + len(site)] = site
    fasta, label = write_fasta(folder / "g.fa", contigs), network.labels[0]
    cutoff = str(0.98 * float(plan(codes)[best, 0].sigmoid()))
    asked = dict(targets=label, cutoff=cutoff, tracks="all", min_length=1)
    run = dict(device="cpu", precision="fp32")
    scan = tcnfast.scan(fasta, network, folder / "scan", **asked, **run)
    return scan


@pytest.mark.parametrize("size", SIZES)
def test_it_opens_without_asking_for_anything(chrome, scanned, size):
    open_page(chrome, scanned.path / "index.html", size, ready=True)
    assert complaints(chrome) == []
    width = chrome.execute_script("return document.documentElement.scrollWidth")
    assert width <= SIZES[size][0]


def test_a_word_in_the_search_box_is_looked_up_nowhere(chrome, scanned):
    open_page(chrome, scanned.path / "index.html", "desktop", ready=True)
    chrome.execute_async_script(
        """
        const done = arguments[0], { browser } = document.getElementById("igv");
        browser.search("TP53").then(() => done(), () => done());
        """
    )
    assert complaints(chrome) == []


def test_the_planted_call_is_in_the_browser_at_its_place(chrome, scanned):
    label = scanned.labels[0]
    call = scanned.calls(label).sort_values("probability").iloc[-1]
    assert call["chrom"] == "chr2" and abs(call["summit"] - 30_000) <= 64
    open_page(chrome, scanned.path / "index.html", "desktop", ready=True)
    chrome.find_element("css selector", "#best-rows a").click()
    frame = "const f = document.getElementById('igv').browser.referenceFrameList[0];"
    where = frame + "return [f.chr, f.start, f.end]"
    wait(lambda: chrome.execute_script(where)[2] - chrome.execute_script(where)[1] < 8_000)
    chrom, start, end = chrome.execute_script(where)
    assert chrom == "chr2" and start < call["start"] < call["end"] < end
    tracks = chrome.execute_async_script(
        """
        const done = arguments[0], browser = document.getElementById("igv").browser;
        const ours = (track) => / (calls|probability)$/.test(track.name);
        const views = browser.trackViews.map((view) => view.track).filter(ours);
        Promise.all(views.map(async (t) => [t.name, await t.getFeatures("chr2", 29000, 31000, 10)]))
          .then((found) => done(found.map(([n, fs]) =>
            [n, (fs || []).map((f) => [f.start, f.end, f.value ?? f.score])])));
        """
    )
    found = {name: rows for name, rows in tracks if name}
    shown = [(start, end) for start, end, _ in found[f"{label} calls"]]
    assert (call["start"], call["end"]) in shown
    highest = max(row[2] for row in found[f"{label} probability"])
    assert highest == pytest.approx(call["probability"], abs=0.02)


def test_the_table_sorts_and_finds_by_pressing(chrome, fasta, model, tmp_path):
    scan = tcnfast.scan(fasta, model, tmp_path / "scan", cutoff="0.5", device="cpu")
    open_page(chrome, scan.path / "index.html", "desktop", ready=True)
    totals = scan.summary.query("chrom == 'all'").set_index("label")["calls"]
    assert len(set(totals)) > 1
    button = "#table th[data-key=calls] button"
    for order in (False, True):
        chrome.find_element("css selector", button).click()
        want = totals.sort_values(ascending=order, kind="stable")
        shown = chrome.execute_script(FIRST)
        assert [totals[name] for name in shown] == want.tolist()
    box = chrome.find_element("id", "table-find")
    box.send_keys("ctcf, rest")
    wait(lambda: sorted(chrome.execute_script(FIRST)) == ["CTCF@K562", "REST"])
    assert "2 of 3" in chrome.find_element("id", "table-found").text
    chrome.find_element("css selector", "#table tbody tr:not([hidden])").click()
    chosen = chrome.execute_script("return document.querySelector('tr.chosen th').textContent")
    assert chrome.find_element("id", "best-name").text == chosen
    assert complaints(chrome) == []


def test_names_that_are_markup_do_nothing(chrome, fasta, tmp_path):
    from support.scan import calling_model

    evil = '<img src=x onerror="document.title=1">'
    network = calling_model(labels=[f"{evil}@K562", "</script><script>document.title=1</script>"])
    genome = tmp_path / "g.fa"
    genome.write_text(fasta.read_text().replace(">chr20", f">{evil.replace(' ', '/')}", 1))
    options = dict(chroms="all", device="cpu", tracks="all")
    scan = tcnfast.scan(genome, network, tmp_path / "scan", **options)
    open_page(chrome, scan.path / "index.html", "desktop", ready=True)
    chrome.find_element("css selector", "#best-rows a").click()
    assert chrome.title != "1" and "g.fa" in chrome.title
    assert complaints(chrome) == []


@pytest.mark.parametrize("size", SIZES)
def test_the_page_of_a_scan_for_motifs(chrome, fasta, tmp_path, size):
    """It opens without asking for anything, names of motifs do nothing, and a hit is shown."""
    evil = "<img/src=x/onerror=document.title=1>"
    site = np.eye(4)[tcnfast.encode("TTGACGTCA")] * 0.88 + 0.03
    write_meme(tmp_path / "m.meme", [Motif(evil, "M1", site)], [50])
    scan = tcnfast.scan(fasta, out=tmp_path / "scan", motifs=tmp_path / "m.meme")
    open_page(chrome, scan.path / "index.html", size, ready=True)
    width = chrome.execute_script("return document.documentElement.scrollWidth")
    assert width <= SIZES[size][0] and chrome.title != "1"
    chrome.find_element("css selector", "#best-rows a").click()
    best = scan.hits("M1").sort_values("score").iloc[-1]
    assert f"{best['score']:.2f}" == chrome.execute_script(
        "return document.querySelector('#best-rows tr').cells[2].textContent"
    )
    tracks = chrome.execute_script(
        "return document.getElementById('igv').browser.trackViews.map((view) => view.track.name)"
    )
    assert any(str(name).endswith("M1 hits") for name in tracks)
    assert complaints(chrome) == []
