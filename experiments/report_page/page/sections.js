// A section a data set: table, differences from the baseline, charts, heat map.

function paragraphs(...texts) {
  return texts.filter(Boolean).map((text) => element("p", { class: "quiet" }, element("bdi", {}, text)));
}

function addComparison(holder, found) {
  if (!found) return;
  holder.append(element("h3", {}, "Against ", element("bdi", { class: "name" }, clipped(found.baseline))), ...paragraphs(content.note, found.text));
  if (found.rows.length) {
    const end = Math.max(...found.rows.flat().map(({ interval }) => (interval ? Math.max(Math.abs(interval.low), Math.abs(interval.high)) : 0))) || 1;
    const rows = found.rows.map((row) => row.map((cell) => (cell.interval ? { ...cell, node: intervalNode(cell.interval, end) } : cell)));
    const table = element("div", { class: "differences" });
    holder.append(table);
    sortable(table, { label: "Differences from the baseline", heads: found.heads, rows, unsorted: [found.heads.indexOf("drawn")] });
  }
  holder.append(...paragraphs(found.untested));
}

function heatCell(cell) {
  const node = element("td", { class: cell.best ? "best" : "" }, element(cell.best ? "strong" : "span", {}, cell.text));
  if (cell.colour) {
    node.style.background = cell.colour;
    node.style.color = cell.white ? "#ffffff" : "#000000";
  }
  return node;
}

function heatNode(table) {
  const head = element("tr", {}, element("th", { scope: "col" }, "exponent \\ cut-off"), ...table.cutoffs.map((text) => element("th", { scope: "col" }, text)));
  const rows = table.rows.map((row, i) => element("tr", {}, element("th", { scope: "row" }, table.exponents[i]), ...row.map(heatCell)));
  const caption = element("caption", {}, element("bdi", {}, clipped(table.name)));
  return element("div", { class: "wide-table", tabindex: "0", role: "region", "aria-label": "Heat map" },
    element("table", { class: "heat" }, caption, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function addSection(section, number) {
  const holder = element("section", { id: `section-${number}`, "aria-labelledby": `title-${number}` });
  byId("sections").append(holder);
  holder.append(element("h2", { id: `title-${number}` }, element("bdi", { class: "name" }, clipped(section.title))), ...paragraphs(section.about, ...section.notes));
  const table = element("div", { class: "rows" });
  holder.append(table);
  sortable(table, { label: "Rows", heads: section.table.heads, rows: section.table.rows });
  addComparison(holder, section.comparison);
  const charts = element("div", { class: "charts" });
  holder.append(charts);
  for (const chart of section.charts) addChart(charts, chart);
  if (section.heatMap) {
    const { caption, tables } = section.heatMap;
    holder.append(element("h3", {}, "Cut-off and exponent"), element("div", { class: "heats" }, ...tables.map(heatNode)), ...paragraphs(caption));
  }
}
