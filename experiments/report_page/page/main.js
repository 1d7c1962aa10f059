// Head, links, runs that failed; and the start.

function several(count, word) {
  return `${counted.format(count)} ${word}${count === 1 ? "" : "s"}`;
}

function startHead() {
  const { name, sections, runs, failures } = content;
  document.title = `${clipped(name, 80)}: report`;
  byId("name").textContent = name;
  const rows = sections.reduce((sum, section) => sum + section.table.rows.length, 0);
  const failed = failures.length ? `, ${counted.format(failures.length)} failed` : "";
  byId("about").textContent = `${several(rows, "row")} of ${several(runs.length - failures.length, "run")}${failed}`;
  const links = sections.map((section, i) => [`section-${i}`, section.title]);
  links.push(["configs", "Runs and their configs"]);
  if (failures.length) links.push(["failures", "Runs that failed"]);
  fill(byId("parts"), ...links.map(([id, text]) => element("li", {}, element("a", { href: `#${id}` }, element("bdi", {}, clipped(text, 60))))));
}

function startFailures() {
  const { failures } = content;
  byId("failures").hidden = !failures.length;
  const rows = failures.map(({ folder, reason }) => [{ text: folder, value: folder }, { text: reason, value: reason }]);
  sortable(byId("failures-table"), { label: "Runs that failed", heads: ["run", "reason"], rows });
}

startTheme(() => started.forEach((draw) => draw()));
startHead();
content.sections.forEach(addSection);
startConfigs();
startFailures();
started.forEach((draw) => draw());
document.body.dataset.ready = "yes";
