/** Tables that sort when a head is pressed, and find rows by words. */
for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const number = head.classList.contains("number"), before = head.getAttribute("aria-sort");
    const rising = before ? before === "descending" : !number;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = ({ cells }) => {
      const { value } = cells[column].dataset;
      return value === undefined ? null : number ? Number(value) : value;
    };
    rows.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (x < y ? -1 : x > y ? 1 : 0) * (rising ? 1 : -1);
    });
    body.append(...rows);
  }));
  const box = document.querySelector(`input[data-finds="${table.id}"]`);
  box?.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    let n = 0;
    for (const row of rows) {
      const text = [...row.cells].filter((cell) => !cell.classList.contains("number"));
      const said = text.map((cell) => cell.textContent.toLowerCase()).join(" ");
      row.hidden = words.length > 0 && !words.some((word) => said.includes(word));
      n += !row.hidden;
    }
    document.getElementById(`${table.id}-found`).textContent = words.length ? `${n} of ${rows.length}` : "";
  });
}
