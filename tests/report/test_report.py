"""The report: one page that holds everything, right for readers of every kind, and true."""

import base64
import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from support.cli import fails
from support.motif import SITES, write_attributions
from support.report import LABELS, ROWS, write_folder

from tcnfast.attribute.attributions import Attributions
from tcnfast.base.errors import TcnfastError
from tcnfast.base.file_names import file_names
from tcnfast.base.logits import probability
from tcnfast.engines.plan import Plan
from tcnfast.genome.genome import Genome
from tcnfast.model.load_model import load_model
from tcnfast.motifs.motif_folder import MotifFolder
from tcnfast.report import report as make_report
from tcnfast.report.report_browser import pack_loci
from tcnfast.report.report_loci import ZOOM, LocusSources, example_loci, predicted_track
from tcnfast.report.report_motifs import read_motifs

VOID = {"meta", "br", "wbr", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Tags of a page in order; fails where they are not nested."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def whole(folders, tmp_path_factory):
    """The page of everything, as text."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    names = ("motifs", "attributions", "evaluation", "scan", "model")
    more = {"genome": folders / "genome.fa", "peaks": folders / "peaks.bed", "loci": 2}
    return make_report([folders / name for name in names], out=out, **more).read_text()


def test_the_page_is_whole_and_fetches_nothing(whole):
    page = Page(whole)
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?:", whole)
    assert len(whole) < 3e6


def test_every_drawing_is_told_in_words(whole):
    page = Page(whole)
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) > 10
    for attributes in drawings:
        told = attributes.get("role") == "img" and attributes.get("aria-label")
        assert told or attributes.get("aria-hidden") == "true"
    assert ("html", {"lang": "en"}) in page.tags
    assert sum(tag == "h1" for tag, _ in page.tags) == 1


def test_links_lead_somewhere_and_ids_are_there_once(whole):
    page = Page(whole)
    assert len(set(page.ids)) == len(page.ids)
    links = {attributes["href"][1:] for tag, attributes in page.tags if "href" in attributes}
    assert links <= set(page.ids)


def test_labels_and_cards_are_text_not_markup(whole):
    assert "<b>&@y" not in whole and "<angles>" not in whole
    assert LABELS[1] in Page(whole).text and "<angles>" in Page(whole).text


def test_the_page_tells_scores_counts_and_verdicts(whole):
    text = Page(whole).text
    assert "0.321 (0.311 to 0.331)" in text and "made on part valid" in text
    assert "AP 0.432 (0.40 to 0.45), AUROC 0.910;" in text
    assert f"{ROWS} seqlets of 2 motifs in {ROWS} windows" in text
    assert "too little of everything" in text and "1,234 calls, 50 % expected to be right" in text
    assert "with a motif of their own 1" in text and "with another factor's only 0" in text


def test_verdicts_are_of_the_factor_itself(folders):
    first, second, third = read_motifs(MotifFolder(folders / "motifs"))
    assert [card.verdict for card in first.cards] == ["own", "other"]
    assert [card.name for card in first.cards] == ["ONE", "TWO"]
    assert first.verdict == "own"
    # a motif that lowers the score is no motif of the label, and q 0.2 is no match
    assert second.cards[0].name == "unknown" and second.verdict == "nothing"
    assert third.cards == [] and third.verdict == "nothing"


def test_a_known_motif_is_drawn_in_the_columns_it_matches(folders):
    """The match of ONE is on its other strand: drawn turned round, base under base."""
    card = read_motifs(MotifFolder(folders / "motifs"))[0].cards[0]
    tall = {}
    for name, drawing in (("ours", card.logo), ("theirs", card.known)):
        letters = re.findall(r"#base-(.)\" transform=\"matrix\(\S+ 0 0 (\S+) (\S+) ", drawing)
        best = {}
        for base, size, x in letters:
            column = int(float(x) // 10)
            best[column] = max(best.get(column, (0, "")), (float(size), base))
        tall[name] = "".join(best[column][1] for column in sorted(best))
    assert tall["ours"] == tall["theirs"] == SITES["ONE"]


def rows_of(page):
    """Label: the values by which its row of the table sorts, in the order of the page."""
    body = page[page.index('id="overview"') :].partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.findall(r'data-value="([^"]*)"', row) for row in body.split("<tr ")[1:]]
    return {row[0]: row[1:] for row in rows}


def test_the_label_that_can_be_trusted_most_comes_first(whole, folders, tmp_path):
    assert list(rows_of(whole)) == ["ONE@x", "&lt;b&gt;&amp;@y", "NONE@z"]
    sections = re.findall(r'id="label-\d"', whole)
    assert len(sections) == 3 and whole.index("<h2>ONE@x</h2>") < whole.index("<h2>&lt;b&gt;")


def test_a_page_of_a_scan_alone_shows_the_scan(folders, tmp_path):
    page = make_report([folders / "scan"], out=tmp_path / "s.html").read_text()
    text = Page(page).text
    assert "0 labels" not in text and "labels called 2 of 2" in text and "calls 5,555" in text
    # grade, calls, share of them that is right, threshold; the one with most calls comes last
    assert rows_of(page) == {
        "ONE@x": ["A", "1234.0", "0.5", "0.3"],
        "&lt;b&gt;&amp;@y": ["D", "4321.0"],
    }
    assert "Best calls" in text and re.search(r"chr1:[\d,]+-[\d,]+</th>", page)
    assert 'id="igv"' not in page and len(page) < 200_000


def test_a_page_of_attributions_alone_shows_the_highest_logits(folders, tmp_path):
    page = make_report([folders / "attributions"], out=tmp_path / "a.html", loci=2).read_text()
    logit = Attributions.open(folders / "attributions" / "ONE@x.npz").logit
    best = sorted(logit.tolist())[-2:]
    assert page.count('class="locus"') == 4
    assert all(f"logit {value:.2f}" in page for value in best)
    assert "motifs not looked for" in page


def browser_of(page):
    """What the browser of a page is given."""
    data = re.search(r'id="loci-data">([^<]*)<', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(data)))


def test_the_browser_holds_letters_and_contributions_of_the_loci(whole, folders):
    facts = browser_of(whole)
    assert len(facts["loci"]) == whole.count('class="locus"') == 3
    for locus in facts["loci"]:
        name = file_names([locus["label"]])[0]
        attributions = Attributions.open(folders / "attributions" / f"{name}.npz")
        (row,) = np.flatnonzero(attributions.start == locus["start"])
        assert locus["letters"] == "".join("ACGT"[c] for c in attributions.codes[row])
        values = np.array(locus["values"]) * locus["unit"]
        np.testing.assert_allclose(values, attributions.projected[row], atol=locus["unit"])
        assert len(locus["predicted"]) == 125 and set(locus["spans"]) >= {"real peaks"}
    with Genome(folders / "genome.fa") as genome:
        assert facts["sizes"] == dict(genome.sizes)


def test_loci_without_room_are_left_out_of_the_browser(folders):
    section = read_motifs(MotifFolder(folders / "motifs"))[0]
    attributions = Attributions.open(folders / "attributions" / "ONE@x.npz")
    loci = {"ONE@x": example_loci(section, attributions, 2, LocusSources())}
    shown, packed = pack_loci("x", loci, {}, 10_000)
    assert shown == [0, 1]
    most = int(0.75 * len(packed))
    assert pack_loci("x", loci, {}, most)[0] == [0] and pack_loci("x", loci, {}, 9)[0] == []


def test_curves_of_an_evaluation_are_drawn(folders, tmp_path):
    page = make_report([folders / "evaluation"], out=tmp_path / "e.html").read_text()
    assert page.count('class="chart"') == 2 and "ONE@x (AP 0.432)" in page
    assert list(rows_of(page)) == ["ONE@x", "NONE@z"]


# loci


def test_a_locus_shows_the_site_and_names_it(folders):
    section = read_motifs(MotifFolder(folders / "motifs"))[0]
    attributions = Attributions.open(folders / "attributions" / "ONE@x.npz")
    loci = example_loci(section, attributions, 2, LocusSources())
    assert len(loci) == 2 and all(locus.rows == [] for locus in loci)
    for locus, card in zip(loci, section.cards, strict=True):
        rows = card.pattern.window
        row = rows[attributions.logit[rows].argmax()]
        assert locus.logit == pytest.approx(float(attributions.logit[row]))
        first = int(attributions.start[row])
        assert locus.title == f"chr1:{first + 1:,}-{first + 121:,}"
        assert [name.text for name in locus.names] == [card.name]
        assert locus.names[0].width == pytest.approx(100 * 12 / ZOOM)
        # the letters under the name are those of the site
        left = round(locus.names[0].left * ZOOM / 100)
        begin = int(locus.logo_span[0].replace(",", "")) - 1
        site = "".join("ACGT"[c] for c in attributions.codes[row, begin + left - first :][:12])
        turned = "".join("TGCA"["ACGT".index(c)] for c in reversed(site))
        assert SITES[card.name] == (site if locus.names[0].strand == "+" else turned)


def test_the_predicted_track_is_the_models_own(folders):
    model = load_model(folders / "model")
    with Genome(folders / "genome.fa") as genome:
        plan = Plan(model, stride=8, strand="both", precision="fp32", device="cpu")
        track = predicted_track(plan, genome, "ONE@x", "chr1", 4000, 80)
        reach = model.receptive_field // 2
        codes = genome.codes("chr1", 4000 + 3 * 8 + 4 - reach, 4000 + 3 * 8 + 4 + reach + 1)
        beyond = predicted_track(plan, genome, "ONE@x", "chr1", -16, 32)
    logits = plan(codes)[0, 0].item()
    assert track.shape == (10,) and track[3] == pytest.approx(probability(logits), abs=1e-5)
    assert beyond.shape == (4,) and np.isfinite(beyond).all()


def test_rows_show_what_was_given_and_no_more(whole, folders, tmp_path):
    text = Page(whole).text
    assert all(name in text for name in ("predicted", "real peaks", "calls", "attribution"))
    page = make_report([folders / "motifs"], out=tmp_path / "m.html").read_text()
    assert "predicted" not in Page(page).text and 'class="locus"' not in page


# other pages


def test_a_page_of_an_evaluation_alone(folders, tmp_path):
    text = Page(make_report([folders / "evaluation"], out=tmp_path / "e.html").read_text()).text
    assert "0.432" in text and "macro-AUROC 0.876" in text and "seqlets" not in text.lower()[:600]


def test_a_page_of_a_bundled_model_alone(tmp_path):
    out = make_report(model="encode-v1", out=tmp_path / "m.html")
    text = Page(out.read_text()).text
    assert "112" in text and "198,832" in text and "1,037 bp" in text
    assert "CTCF@K562" in text and "validation regions" in text


def test_the_command_writes_the_page_once(run, folders):
    words = ["report", folders / "motifs", "-o", "sub/x.html", "-t", "ONE@x", "--title", "Mine"]
    code, out, err = run(*words)
    assert code == 0 and out == "" and "1 label," in err
    fails(run(*words), "sub/x.html: exists", "--force")
    assert run(*words, "--force")[0] == 0
    fails(run("report", folders / "motifs", "-o", "y.html", "-t", "NO@x"), "no motifs of 'NO@x'")


def test_folders_that_cannot_be_shown_are_told(folders, tmp_path):
    out = tmp_path / "x.html"
    with pytest.raises(TcnfastError, match="no folder of tcnfast motifs, attribute"):
        make_report([tmp_path], out=out)
    twin = write_folder(tmp_path / "twin", "motifs")
    with pytest.raises(TcnfastError, match="holds motifs too"):
        make_report([folders / "motifs", twin], out=out)
    with pytest.raises(TcnfastError, match="give one of the two"):
        make_report([folders / "model"], out=out, model="encode-v1")
    with pytest.raises(TcnfastError, match="need the model too"):
        make_report([folders / "motifs"], out=out, genome="g.fa")
    with pytest.raises(TcnfastError, match="nothing to report on"):
        make_report([], out=out)
    assert not out.exists()


def test_motifs_of_other_attributions_are_told(folders, tmp_path):
    whole = Attributions.open(folders / "attributions" / "ONE@x.npz")
    names = ("chrom", "start", "codes", "hypothetical", "logit")
    part = replace(whole, **{name: getattr(whole, name)[:5] for name in names})
    folder = write_attributions(tmp_path / "others", part)
    with pytest.raises(TcnfastError, match="are not of the attributions"):
        make_report([folders / "motifs", folder], out=tmp_path / "x.html")
