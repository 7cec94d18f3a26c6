// igv.js puts names into the page as markup: what could be markup is taken out of them
const inert = (name) => name.replace(/[<>&"'`]/g, "_");

/** What lies in a script element as base64 of a gzip. */
async function unpacked(id) {
  const text = document.getElementById(id).textContent;
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

const COLOURS = ["#1f62a8", "#0f6b3a", "#a34d00", "#7a3fa0", "#a11d4a", "#4a5a1a"];

/** igv.js in the element "igv", which asks nothing of the network. `reference`: what igv.js takes. */
async function startIgv(title, reference, locus) {
  const element = document.createElement("script");
  element.textContent = new TextDecoder().decode(await unpacked("igv-source"));
  document.head.append(element);
  const place = document.getElementById("igv");
  const browser = await igv.createBrowser(place, {
    reference: { id: inert(title), name: inert(title), wholeGenomeView: false, ...reference },
    // a word that is no place would be looked up at igv.org
    search: { type: "plain", url: "data:text/plain," },
    loadDefaultGenomes: false, showSVGButton: false, queryParametersSupported: false, locus,
    showSequence: reference.format !== "chromsizes", // of sizes alone its row is empty
  });
  place.browser = browser; // for scripts
  return browser;
}
