(async () => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const find = (id) => document.getElementById(id);
  const cells = (n) => n.toLocaleString("en");
  const { words } = facts;
  const shownScore = (score) => (score / words.per).toFixed(words.digits);

  // What page_calls.py packed: bins of all labels, then columns over all units.
  const packed = await unpacked("calls");
  const bins = new Uint16Array(packed, 0, facts.labels.length * facts.bins);
  const total = facts.units.reduce((sum, unit) => sum + unit[2], 0);
  const at = bins.byteLength;
  const starts = new Uint32Array(packed.slice(at, at + 4 * total));
  const lengths = new Uint32Array(packed.slice(at + 4 * total, at + 8 * total));
  const scores = new Uint16Array(packed.slice(at + 8 * total));
  const firstBin = [];
  facts.contigs.reduce((sum, [, size]) => (firstBin.push(sum), sum + Math.ceil(size / facts.bin)), 0);

  /** Features of a label for the browser: calls, and bins where there was no room for calls. */
  function features(label) {
    const found = [], whole = new Set();
    let row = 0;
    for (const [of, contig, n] of facts.units) {
      if (of === label) {
        whole.add(contig);
        let start = 0;
        for (let i = row; i < row + n; i++) {
          start += starts[i] * facts.stride;
          const end = Math.min(start + lengths[i] * facts.stride, facts.contigs[contig][1]);
          found.push({ chr: inert(facts.contigs[contig][0]), start, end, score: scores[i], name: shownScore(scores[i]) });
        }
      }
      row += n;
    }
    facts.contigs.forEach(([chr, size], contig) => {
      if (whole.has(contig)) return;
      for (let bin = 0; bin * facts.bin < size; bin++) {
        const n = bins[label * facts.bins + firstBin[contig] + bin];
        const start = bin * facts.bin;
        if (n) found.push({ chr: inert(chr), start, end: Math.min(start + facts.bin, size), score: 0, name: `${n} ${words.calls}` });
      }
    });
    return found;
  }

  // The browser.
  let browser = null;
  const added = new Map(); // label: how many came before it
  const colour = (label) => COLOURS[(added.get(label) ?? added.size) % COLOURS.length];

  async function addLabel(label) {
    if (!browser || added.has(label)) return;
    added.set(label, added.size);
    const { name } = facts.labels[label];
    await browser.loadTrack({
      name: inert(`${name} ${words.calls}`), type: "annotation", displayMode: "COLLAPSED", height: 40,
      color: colour(label), features: features(label), searchable: false,
    });
    await addTrack(facts.tracks.find((one) => one.label === name), label);
  }

  async function addTrack(track, label) {
    if (!browser || !track || !track.data) return;
    const bytes = Uint8Array.from(atob(track.data), (c) => c.charCodeAt(0));
    await addFile(new File([bytes], "track.bw"), `${track.label} probability`, label);
  }

  async function addFile(file, name, label) {
    const signal = /\.(bw|bigwig)$/i.test(file.name);
    await browser.loadTrack({
      name: inert(name || file.name), url: file, color: colour(label), height: signal ? 60 : 40,
      // the mean of a bin hides peaks
      ...(signal ? { type: "wig", format: "bigwig", windowFunction: "max", min: 0, max: 1 } : {}),
    });
  }

  async function startBrowser() {
    const sizes = facts.contigs.map(([chr, size]) => `${inert(chr)}\t${size}`).join("\n") + "\n";
    const best = facts.best.find((calls) => calls.length);
    const reference = { format: "chromsizes", fastaURL: new File([sizes], "sizes.tsv") };
    browser = await startIgv(facts.title, reference, best ? place(best[0], 20_000) : inert(facts.contigs[0][0]));
    for (const label of facts.at_first) await addLabel(label);
  }

  /** A locus around a call, in the browser's words: 1-based, inclusive. */
  function place([contig, start, end], around) {
    const [chr, size] = facts.contigs[contig];
    return `${inert(chr)}:${Math.max(1, start + 1 - around)}-${Math.min(size, end + around)}`;
  }

  function show(call, around = 2_000) {
    if (!browser) return;
    browser.search(place(call, around));
    find("browser").scrollIntoView({ behavior: "smooth" });
  }

  // A label is chosen: its strips and its best calls.
  function choose(label) {
    const { name } = facts.labels[label];
    document.querySelectorAll("#table tbody tr").forEach((row) => row.classList.toggle("chosen", +row.dataset.row === label));
    find("strip-name").textContent = `${name}: ${words.calls} along ${facts.contigs.length === 1 ? "the contig" : "the contigs"}.`;
    find("best-name").textContent = name;
    drawStrips(label);
    find("best-rows").replaceChildren(...facts.best[label].map((call) => {
      const [contig, start, end, score] = call;
      const row = document.createElement("tr");
      const link = document.createElement("a");
      link.href = "#browser";
      link.textContent = `${facts.contigs[contig][0]}:${cells(start + 1)}-${cells(end)}`;
      link.addEventListener("click", async (event) => { event.preventDefault(); await addLabel(label); show(call); });
      for (const [content, kind] of [[link, ""], [cells(end - start), "number wide"], [shownScore(score), "number"]]) {
        const cell = row.insertCell();
        cell.className = kind;
        cell.append(content);
      }
      return row;
    }));
  }

  function drawStrips(label) {
    const longest = Math.max(...facts.contigs.map(([, size]) => size));
    const row = bins.subarray(label * facts.bins, (label + 1) * facts.bins);
    const most = Math.max(1, ...row);
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--track").trim();
    find("strips").replaceChildren(...facts.contigs.flatMap(([chr, size], contig) => {
      const name = document.createElement("span"), canvas = document.createElement("canvas");
      name.textContent = name.title = chr;
      const n = Math.ceil(size / facts.bin);
      canvas.width = n;
      canvas.height = 1;
      canvas.style.width = `${Math.max(1, 100 * size / longest)}%`;
      canvas.setAttribute("role", "img");
      const part = row.subarray(firstBin[contig], firstBin[contig] + n);
      canvas.setAttribute("aria-label", `${cells(part.reduce((sum, x) => sum + x, 0))} ${words.calls} on ${chr}`);
      const context = canvas.getContext("2d");
      context.fillStyle = ink;
      part.forEach((value, bin) => {
        if (!value) return;
        context.globalAlpha = 0.25 + 0.75 * Math.sqrt(value / most);
        context.fillRect(bin, 0, 1, 1);
      });
      canvas.addEventListener("click", (event) => {
        const share = event.offsetX / canvas.clientWidth, middle = Math.round(share * size);
        addLabel(label).then(() => show([contig, middle, middle + 1], Math.max(50_000, facts.bin)));
      });
      return [name, canvas];
    }));
  }

  for (const row of document.querySelectorAll("#table tbody tr")) {
    const pick = () => choose(+row.dataset.row);
    row.addEventListener("click", pick);
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") pick(); });
  }
  for (const [index, { name }] of facts.labels.entries()) find("add").append(new Option(name, index));
  const names = new Set(facts.labels.map(({ name }) => name));
  const others = facts.tracks.filter((track) => track.data && !names.has(track.label));
  for (const [index, track] of others.entries()) find("add").append(new Option(`${track.label} (not called)`, -1 - index));
  find("add").addEventListener("change", ({ target: { value } }) => {
    if (value >= 0) addLabel(+value); else addTrack(others[-1 - value], -1 - value);
  });
  find("files").addEventListener("change", async (event) => {
    for (const file of event.target.files) await addFile(file);
  });
  if (facts.labels.length) choose(Math.max(0, facts.best.findIndex((calls) => calls.length)));
  await startBrowser();
  document.documentElement.dataset.ready = "yes";
})();
