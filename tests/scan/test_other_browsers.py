"""What other programs make of a scan's files: igv.js of its bigBeds, JBrowse 2 of jbrowse.json."""

import json
import os
import shutil
from pathlib import Path

import pyfaidx
import pytest
from support.chrome import complaints, open_page, wait
from support.page_server import served

import tcnfast

pytestmark = pytest.mark.browser
# dist/react-app.umd.production.min.js of the npm package @jbrowse/react-app2: make viewers
JBROWSE = os.environ.get("TCNFAST_JBROWSE", "")
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="root"></div>
<script src="jbrowse.js"></script><script>
(async () => {
  const { createViewState, JBrowseApp, React, createRoot } = JBrowseReactApp;
  const url = new URL("scan/jbrowse.json", location).href;
  const config = await (await fetch(url)).json();
  const place = (x) => {  // as JBrowse Web does for what it loads
    if (x && typeof x === "object") { if (x.uri) x.baseUri = url; Object.values(x).forEach(place); }
  };
  place(config);
  window.state = createViewState({ config });
  createRoot(document.getElementById("root")).render(
    React.createElement(JBrowseApp, { viewState: state }));
})();
</script>"""


@pytest.fixture(scope="module")
def scanned(fasta, model, tmp_path_factory):
    """A scan of an indexed genome, whose file has a name that a URL has to escape."""
    pytest.importorskip("pybigtools", reason="pybigtools is not installed")
    folder = tmp_path_factory.mktemp("browsers")
    genome = folder / "my genome #1.fa"
    shutil.copy(fasta, genome)
    pyfaidx.Faidx(str(genome))
    options = dict(cutoff="0.5", device="cpu", precision="fp32", tracks="all", hub="hg19")
    return tcnfast.scan(genome, model, folder / "scan", **options)


def calls_on(scan, label, chrom):
    table = scan.calls(label)
    rows = table[table["chrom"] == chrom]
    return list(zip(rows["start"], rows["end"], strict=True))


def test_igv_js_reads_the_bigbeds(chrome, scanned):
    label = scanned.called_labels[0]
    open_page(chrome, scanned.path / "index.html", "desktop", ready=True)
    path = scanned.path / "hub" / f"{scanned.peaks_of(label).stem}.bb"
    chrome.find_element("id", "files").send_keys(str(path.resolve()))
    names = "document.getElementById('igv').browser.trackViews.map((v) => v.track.name)"
    wait(lambda: path.name in chrome.execute_script(f"return {names}"))
    found = chrome.execute_async_script(
        """
        const [name, chr, done] = arguments, { browser } = document.getElementById("igv");
        const { track } = browser.trackViews.find((view) => view.track.name === name);
        track.getFeatures(chr, 0, 100000, 100).then((features) => done(
          features.map((f) => [f.start, f.end, f.score, f.cdStart ?? null])));
        """,
        path.name,
        "chr20",
    )
    assert [(start, end) for start, end, _, _ in found] == calls_on(scanned, label, "chr20")
    assert all(0 < score <= 1000 and thick is None for _, _, score, thick in found)
    assert complaints(chrome) == []


def test_jbrowse_opens_its_configuration(chrome, scanned):
    if not Path(JBROWSE).is_file():
        pytest.skip("TCNFAST_JBROWSE names no bundle of @jbrowse/react-app2; make viewers does")
    root = scanned.path.parent
    shutil.copy(JBROWSE, root / "jbrowse.js")
    (root / "page.html").write_text(PAGE)
    config = json.loads((scanned.path / "jbrowse.json").read_text())
    chrome.get_log("browser")
    with served(root) as address:
        chrome.get(f"{address}/page.html")
        view = "window.state?.session.views[0]"
        wait(lambda: chrome.execute_script(f"return {view}?.initialized"), 60)
        shown = wait(lambda: chrome.execute_script(f"return {view}.tracks.map((t) => t.type)"))
        assert len(shown) == len(config["tracks"])
        found = chrome.execute_async_script(
            """
            const done = arguments[0], { session } = window.state, conf = session.tracks;
            const regions = [{ refName: "chr20", start: 0, end: 100000,
              assemblyName: session.views[0].assemblyNames[0] }];
            Promise.all(conf.map(async (one) => {
              const adapterConfig = JSON.parse(JSON.stringify(one.adapter));
              const got = await session.rpcManager.call("tcnfast", "CoreGetFeatures",
                { sessionId: "tcnfast", regions, adapterConfig });
              const rows = got.map((f) => [f.get("start"), f.get("end"), f.get("score"),
                f.get("peak") ?? null]);
              return [one.name.toString(), rows];
            })).then(done, (error) => done(String(error.stack)));
            """
        )
        errors = [x["message"] for x in chrome.get_log("browser") if x["level"] == "SEVERE"]
    assert errors == [] and not isinstance(found, str), found
    for track, (_, rows) in zip(config["tracks"], found, strict=True):
        label, _, what = track["name"].rpartition(" ")
        if what == "calls":
            assert [(a, b) for a, b, *_ in sorted(rows)] == calls_on(scanned, label, "chr20")
        else:
            assert rows and all(0 <= score <= 1 for _, _, score, _ in rows)
