// The config of a run, and what two of them differ in.

const runChoice = { a: 0, b: content.runs.length > 1 ? 1 : -1 };

function valueOf(key, run) {
  return key.of[run] < 0 ? null : key.values[key.of[run]];
}

// Keys that are shown, with the values of both; b is null where one run is shown alone.
function shownKeys() {
  const wanted = byId("key-filter").value.trim().toLowerCase();
  const two = runChoice.b >= 0;
  const found = content.keys.map((key) => {
    const [a, b] = [valueOf(key, runChoice.a), two ? valueOf(key, runChoice.b) : null];
    return { name: key.name, a, b, differs: two && a !== b };
  });
  const there = found.filter(({ a, b }) => a !== null || b !== null);
  const onlyDifferent = two && byId("only-different").checked;
  return {
    rows: there.filter((row) => row.name.toLowerCase().includes(wanted) && (row.differs || !onlyDifferent)),
    different: there.filter((row) => row.differs).length,
    count: there.length,
  };
}

function valueCell(text) {
  return element("td", {}, text === null ? element("span", { class: "quiet" }, "not there") : element("bdi", {}, clipped(text, 1000)));
}

function factsNode(run) {
  const { folder, facts } = content.runs[run];
  const list = element("dl", {});
  for (const [name, text] of facts) list.append(element("dt", {}, name), element("dd", {}, element("bdi", {}, clipped(text, 400))));
  return element("div", {}, element("h3", {}, element("bdi", { class: "name" }, clipped(folder))), list);
}

function drawConfigs() {
  const { rows, different, count } = shownKeys();
  const two = runChoice.b >= 0;
  byId("only-different").disabled = !two;
  byId("swap").disabled = !two;
  const runs = two ? [runChoice.a, runChoice.b] : [runChoice.a];
  fill(byId("facts"), ...runs.map(factsNode));
  byId("config-count").textContent = two
    ? `${counted.format(different)} of ${counted.format(count)} keys differ; ${counted.format(rows.length)} are shown.`
    : `${counted.format(rows.length)} of ${counted.format(count)} keys are shown.`;
  const heads = ["key", ...runs.map((run) => clipped(content.runs[run].folder, 120))];
  const lines = rows.map((row) =>
    element(
      "tr",
      { class: row.differs ? "differs" : "", "data-key": row.name },
      element("th", { scope: "row" }, row.differs ? element("span", { class: "mark", title: "differs" }, "≠ ") : "", element("bdi", {}, clipped(row.name))),
      valueCell(row.a),
      ...(two ? [valueCell(row.b)] : []),
    ),
  );
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, element("bdi", {}, text))));
  fill(
    byId("config-table"),
    element("div", { class: "wide-table", tabindex: "0", role: "region", "aria-label": "Config" },
      element("table", { class: "config" }, element("thead", {}, head), element("tbody", {}, ...lines))),
  );
}

function startConfigs() {
  const options = () => content.runs.map(({ folder }, i) => element("option", { value: i }, clipped(folder, 120)));
  fill(byId("run-a"), ...options());
  fill(byId("run-b"), element("option", { value: -1 }, "none"), ...options());
  const show = () => {
    byId("run-a").value = runChoice.a;
    byId("run-b").value = runChoice.b;
    drawConfigs();
  };
  for (const side of ["a", "b"]) {
    byId(`run-${side}`).addEventListener("change", (event) => {
      runChoice[side] = Number(event.target.value);
      show();
    });
  }
  byId("swap").addEventListener("click", () => {
    [runChoice.a, runChoice.b] = [runChoice.b, runChoice.a];
    show();
  });
  byId("key-filter").addEventListener("input", drawConfigs);
  byId("only-different").addEventListener("change", drawConfigs);
  show();
}
