// Tables that are sorted by a click, or Enter, on a head. A cell: { text, value, best, node }; null sorts last.

function compareValues(a, b) {
  if (typeof a === "string" && typeof b === "string") return a.localeCompare(b, "en", { numeric: true });
  return a < b ? -1 : a > b ? 1 : 0;
}

// The numbers of the rows in the order of a column; equal ones keep theirs, and rows without a value come last.
function sortedRows(rows, column, descending) {
  const order = rows.map((_, i) => i);
  const value = (i) => rows[i][column].value;
  return order.sort((i, j) => {
    const [a, b] = [value(i), value(j)];
    if (a === null || b === null) return (a === null) - (b === null) || i - j;
    return (descending ? -compareValues(a, b) : compareValues(a, b)) || i - j;
  });
}

function cellNode(cell, isFirst) {
  const text = element(cell.best ? "strong" : "bdi", {}, clipped(cell.text, 200));
  const attributes = cell.value === null ? {} : { "data-value": cell.value };
  return isFirst ? element("th", { scope: "row", ...attributes }, text) : element("td", attributes, cell.node || text);
}

// Puts a table into a holder that scrolls where the table is wider.
function sortable(holder, { label, heads, rows, unsorted = [] }) {
  const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell, i) => cellNode(cell, i === 0)))));
  const lines = Array.from(body.children);
  const cells = heads.map((head, i) => {
    if (unsorted.includes(i)) return element("th", { scope: "col" }, head);
    return element("th", { scope: "col", "aria-sort": "none" }, element("button", { type: "button", click: () => sort(i) }, head));
  });

  function sort(column) {
    const before = cells[column].getAttribute("aria-sort");
    const numbers = rows.some((row) => typeof row[column].value === "number");
    const descending = before === "none" ? numbers : before === "ascending"; // the largest numbers first
    for (const cell of cells) if (cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", "none");
    cells[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    body.append(...sortedRows(rows, column, descending).map((i) => lines[i]));
    say(`Sorted by ${heads[column]}, ${descending ? "descending" : "ascending"}`);
  }

  const table = element("table", { class: "sortable" }, element("thead", {}, element("tr", {}, ...cells)), body);
  fill(holder, element("div", { class: "wide-table", tabindex: "0", role: "region", "aria-label": label }, table));
}
