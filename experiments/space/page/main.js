// Tabs, sliders; and the start.

const TABS = ["items", "users", "negatives"];

function openTab(name) {
  if (state.tab === name && byId(`tab-${name}`).getAttribute("aria-selected") === "true") return;
  state.tab = name;
  for (const other of TABS) {
    const chosen = other === name;
    byId(`tab-${other}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${other}`).tabIndex = chosen ? 0 : -1;
    byId(`panel-${other}`).hidden = !chosen;
  }
  panels[name].shown();
  redraw();
}

function startTabs() {
  TABS.forEach((name, i) => {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => openTab(name));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = TABS[(i + by + TABS.length) % TABS.length];
      openTab(next);
      byId(`tab-${next}`).focus();
    });
  });
}

// The sliders go over the distinct numbers of training users, so that each step changes something.
function startSliders() {
  const steps = Array.from(new Set(items.popularity)).sort((a, b) => a - b);
  const [least, most] = [byId("least"), byId("most")];
  for (const [slider, value] of [[least, 0], [most, steps.length - 1]]) {
    Object.assign(slider, { min: 0, max: steps.length - 1, step: 1 });
    slider.value = value;
    slider.addEventListener("input", () => moved(slider));
  }
  function moved(slider) {
    if (Number(least.value) > Number(most.value)) (slider === least ? most : least).value = slider.value;
    show();
    redraw();
  }
  function show() {
    [state.least, state.most] = [steps[Number(least.value)], steps[Number(most.value)]];
    for (const [name, value] of [["least", state.least], ["most", state.most]]) {
      byId(`${name}-shown`).textContent = `${counted.format(value)} training users`;
      byId(name).setAttribute("aria-valuetext", `${value} training users`);
    }
  }
  show();
}

function startHead() {
  const { about } = content;
  document.title = `${about.name}: the space`;
  byId("name").textContent = about.name;
  const part = about.metrics.test ? "test" : "valid";
  const scores = Object.entries(about.metrics[part] || {}).filter(([name]) => name.startsWith("ndcg"));
  const last = scores.length ? `, ${part} ${scores[scores.length - 1][0].toUpperCase()} ${scores[scores.length - 1][1].toFixed(3)}` : "";
  byId("about").textContent =
    `${counted.format(about.numItems)} items, ${counted.format(about.numUsers)} users; model ${about.model}, loss ${about.loss}, ` +
    `sampler ${about.sampler}, step ${counted.format(about.step)}${last}`;
  const users = about.numUsersShown < about.numUsers ? [`${counted.format(about.numUsersShown)} of ${counted.format(about.numUsers)} users are shown.`] : [];
  fill(byId("notes"), ...[...about.notes, ...users].map((note) => element("li", {}, element("bdi", {}, note))));
}

function startMap() {
  fill(byId("map-name"), ...content.maps.map((map, i) => element("option", { value: i }, map.name)));
  const colours = [["popularity", "popularity"], ["cluster", "cluster"], ...items.features.map((feature, i) => [`feature-${i}`, clipped(feature.name, 40)])];
  fill(byId("colour"), ...colours.map(([value, name]) => element("option", { value }, name)));
  byId("map-name").addEventListener("change", (event) => {
    state.map = Number(event.target.value);
    redraw();
  });
  byId("colour").addEventListener("change", (event) => {
    state.colour = event.target.value;
    redraw();
  });
  byId("zoom-in").addEventListener("click", () => zoom(0.7));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 0.7));
  byId("zoom-reset").addEventListener("click", showAll);
  byId("map").addEventListener("keydown", pressOnMap);
}

startTheme(() => {
  panels[state.tab].shown();
  redraw();
});
startHead();
startMap();
startSliders();
startItems();
startUsers();
startNegatives();
startTabs();
state.tab = "";
openTab("items");
drawMap();
const map = byId("map");
map.on("plotly_hover", hover);
map.on("plotly_unhover", hideTip);
map.on("plotly_click", (event) => {
  const point = pointOf(event);
  if (typeof point === "number") chooseItem(point);
});
document.body.dataset.ready = "yes";
