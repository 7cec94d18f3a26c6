(async () => {
  const { title, steps, sizes, loci } = JSON.parse(new TextDecoder().decode(await unpacked("loci-data")));
  // igv.js reads a place out of the header of a sequence
  const chr = (locus) => inert(locus.chrom).replace(/[:\s]/g, "_");
  const end = (locus) => locus.start + locus.letters.length;
  const length = (locus) => sizes[locus.chrom] ?? Math.max(...loci.filter((other) => other.chrom === locus.chrom).map(end));
  const place = (locus, around) => `${chr(locus)}:${Math.max(1, locus.start + 1 - around)}-${end(locus) + around}`;
  const fasta = loci.map((locus) => `>${chr(locus)}:${locus.start + 1}-${end(locus)} @len=${length(locus)}\n${locus.letters}\n`);
  const reference = { fastaURL: new File(fasta, "loci.fa"), indexed: false };
  const browser = await startIgv(title, reference, place(loci[0], 0));
  const added = new Set();

  /** What is known of a label at its places, as rows of the browser. */
  async function addLabel(label) {
    if (added.has(label)) return;
    added.add(label);
    const some = loci.filter((locus) => locus.label === label), colour = COLOURS[(added.size - 1) % COLOURS.length];
    const row = (what, more) => browser.loadTrack({ name: inert(`${label} ${what}`), color: colour, searchable: false, ...more });
    await row("attribution", {
      type: "wig", graphType: "dynseq", autoscale: true, height: 110, windowFunction: "max",
      features: some.flatMap((locus) => locus.values.map((value, i) => ({
        chr: chr(locus), start: locus.start + i, end: locus.start + i + 1, value: value * locus.unit,
      }))),
    });
    if (some.some((locus) => locus.predicted.length)) await row("predicted", {
      type: "wig", min: 0, max: 1, height: 50, windowFunction: "max",
      features: some.flatMap((locus) => locus.predicted.map((value, i) => ({
        chr: chr(locus), start: locus.first + i * locus.stride, end: locus.first + (i + 1) * locus.stride, value,
      }))),
    });
    for (const name of new Set(some.flatMap((locus) => Object.keys(locus.spans)))) await row(name, {
      type: "annotation", displayMode: "COLLAPSED", height: 36,
      features: some.flatMap((locus) => (locus.spans[name] ?? []).map(([start, end]) => ({ chr: chr(locus), start, end, name: "" }))),
    });
  }

  /** A locus is chosen: its middle, near enough to read its letters. */
  async function show(index) {
    const locus = loci[index];
    document.getElementById("loci").value = index;
    await addLabel(locus.label);
    let strongest = 0;
    locus.values.forEach((value, i) => { if (value > locus.values[strongest]) strongest = i; });
    const middle = locus.start + strongest, around = innerWidth < 700 ? 25 : 60;
    await browser.search(`${chr(locus)}:${Math.max(1, middle - around)}-${middle + around}`);
  }

  loci.forEach((locus, index) => document.getElementById("loci").append(new Option(`${locus.label} ${locus.chrom}:${(locus.start + 1).toLocaleString("en")}`, index)));
  document.getElementById("loci").addEventListener("change", ({ target }) => show(+target.value));
  for (const button of document.querySelectorAll("button.show")) button.addEventListener("click", async () => {
    document.getElementById("browser").scrollIntoView({ behavior: "smooth" });
    await show(+button.dataset.locus);
  });
  await show(0);
  document.documentElement.dataset.ready = "yes";
})();
