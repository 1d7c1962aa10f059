// The map: every item as a dot drawn by WebGL, and above them what a panel marks.

const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
const GROUP_METHODS = ["two_stage", "sml", "popularity", "softmax", "bpr", "uniform", "implicit_bpr", "lrml"]; // whose colours groups have
const GROUP_SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star"];
const DOT = items.id.length > 20000 ? 3 : items.id.length > 5000 ? 4 : 6;
let marked = []; // of each trace of the map the places of its points
let shown = []; // places of the items within the popularity sliders

// Colours from those for few to those for much; the ends that the ground would swallow are left out.
function ramp() {
  return isDark() ? CIVIDIS.slice(3) : CIVIDIS.slice(0, 9).reverse();
}

function inRange(place) {
  return items.popularity[place] >= state.least && items.popularity[place] <= state.most;
}

// What items are coloured by: numbers, or groups with names. null stands for no value.
function colouring() {
  const feature = items.features[Number(state.colour.replace("feature-", ""))];
  if (state.colour === "popularity") {
    return { name: "Training users", numbers: items.popularity, log: true };
  }
  if (state.colour === "cluster") {
    const count = items.cluster.reduce((a, b) => Math.max(a, b), 0) + 1;
    return { codes: items.cluster, groups: Array.from({ length: count }, (_, i) => `Cluster ${i + 1}`) };
  }
  if (feature.values) return { name: feature.name, numbers: feature.values };
  return { codes: feature.codes, groups: feature.groups, others: true };
}

function dots(colours) {
  const map = content.maps[state.map];
  const x = new Float32Array(shown.length);
  const y = new Float32Array(shown.length);
  shown.forEach((place, i) => {
    x[i] = map.x[place];
    y[i] = map.y[place];
  });
  const marker = { size: DOT, opacity: panels[state.tab].overlays().length ? 0.35 : 0.85, line: { width: 0 } };
  if (colours.numbers) {
    const values = shown.map((place) => (colours.log ? Math.log10(colours.numbers[place] + 1) : colours.numbers[place]));
    const stops = ramp();
    marker.color = values.map((value) => (Number.isNaN(value) ? 0 : value));
    [marker.cmin, marker.cmax] = colours.ends;
    marker.colorscale = stops.map((colour, i) => [i / (stops.length - 1), colour]);
    if (values.some(Number.isNaN)) marker.size = values.map((value) => (Number.isNaN(value) ? 0 : DOT));
  } else {
    const [palette, none] = [colours.groups.map((_, i) => colourOf(GROUP_METHODS[i])), token("dim")];
    marker.color = shown.map((place) => palette[colours.codes[place]] || none);
    marker.symbol = shown.map((place) => GROUP_SYMBOLS[colours.codes[place]] || "circle");
    marker.size = DOT + 1;
  }
  return { type: "scattergl", mode: "markers", x, y, marker, hoverinfo: "none" };
}

// The ends of the colours, over all items, so that the sliders change none.
function ends(colours) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of colours.numbers) {
    if (Number.isNaN(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) [low, high] = [0, 1];
  return colours.log ? [Math.log10(low + 1), Math.log10(high + 1)] : [low, high];
}

// A panel's mark: { places or points: [{x, y, text}], symbol, size, colour, open, name }.
function overlay(mark) {
  const map = content.maps[state.map];
  const x = mark.points ? mark.points.map((point) => point.x) : Array.from(mark.places, (place) => map.x[place]);
  const y = mark.points ? mark.points.map((point) => point.y) : Array.from(mark.places, (place) => map.y[place]);
  const marker = { symbol: mark.open ? `${mark.symbol}-open` : mark.symbol, size: mark.size, color: mark.colour, opacity: 1 };
  marker.line = { width: mark.open ? 2 : 1, color: mark.open ? mark.colour : token("ground") };
  return { type: "scattergl", mode: "markers", x, y, marker, hoverinfo: "none" };
}

function mapLayout() {
  const map = content.maps[state.map];
  const title = (number, name) => (map.spread ? `${name} component, ${(100 * map.spread[number]).toFixed(1)} % of the spread` : "");
  const quiet = { zeroline: false, showticklabels: false, ticks: "" };
  return {
    ...plotLayout({ l: 28, r: 8, t: 8, b: 30 }),
    dragmode: "pan",
    uirevision: String(state.map), // keeps the view but for another map
    xaxis: axis(title(0, "First"), quiet),
    yaxis: axis(title(1, "Second"), { ...quiet, scaleanchor: "x" }),
  };
}

function drawMap() {
  shown = [];
  for (let place = 0; place < items.id.length; place++) if (inRange(place)) shown.push(place);
  const colours = colouring();
  if (colours.numbers) colours.ends = ends(colours);
  const marks = panels[state.tab].overlays();
  marked = [shown, ...marks.map((mark) => mark.points || Array.from(mark.places))];
  Plotly.react(byId("map"), [dots(colours), ...marks.map(overlay)], mapLayout(), {
    displayModeBar: false,
    scrollZoom: true,
    responsive: true,
    doubleClick: "reset",
  });
  drawLegend(colours, marks);
  byId("count").textContent = `${counted.format(shown.length)} items`;
}

const redraw = onceAFrame(drawMap);

const SHAPES = {
  circle: "M7 2a5 5 0 1 0 .01 0z", square: "M2 2h10v10h-10z", diamond: "M7 1l6 6-6 6-6-6z", "triangle-up": "M7 2l6 10h-12z",
  "triangle-down": "M7 12l6-10h-12z", cross: "M5 1h4v4h4v4h-4v4h-4v-4h-4v-4h4z", x: "M3 1l4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4z",
  star: "M7 1l2 4 4 .5-3 3 1 4.5-4-2-4 2 1-4.5-3-3 4-.5z",
};

function symbolNode(symbol, colour, open = false) {
  const path = svgNode("path", { d: SHAPES[symbol], fill: open ? "none" : colour, stroke: colour });
  return svgNode("svg", { width: 14, height: 14, "aria-hidden": "true" }, path);
}

function key(node, text) {
  return element("span", { class: "key" }, node, element("bdi", {}, clipped(text, 60)));
}

function drawLegend(colours, marks) {
  const keys = marks.map((mark) => key(symbolNode(mark.symbol, mark.colour, mark.open), mark.name));
  if (colours.numbers) {
    const bar = element("span", { class: "ramp", "aria-hidden": "true" });
    bar.style.background = `linear-gradient(90deg, ${ramp().join(",")})`;
    const written = (end) => significant(colours.log ? 10 ** end - 1 : end);
    const sign = (end) => (end < 0 ? "−" : "") + written(Math.abs(end));
    keys.push(element("span", { class: "key" }, element("bdi", {}, clipped(colours.name, 40)), sign(colours.ends[0]), bar, sign(colours.ends[1])));
  } else {
    colours.groups.forEach((name, i) => keys.push(key(symbolNode(GROUP_SYMBOLS[i], colourOf(GROUP_METHODS[i])), name || "(empty)")));
    if (colours.others) keys.push(key(symbolNode("circle", token("dim")), "others or none"));
  }
  fill(byId("legend"), ...keys);
}

// Hovering and clicking: plotly finds the point, the tip is ours.
function pointOf(event) {
  const at = event.points[0];
  return marked[at.curveNumber][at.pointNumber];
}

function hover(event) {
  const point = pointOf(event);
  const { clientX, clientY } = event.event;
  if (typeof point !== "number") return showTip(clientX, clientY, element("bdi", {}, clipped(point.text)));
  const users = element("div", { class: "quiet" }, `${counted.format(items.popularity[point])} training users`);
  return showTip(clientX, clientY, nameNode(point), users);
}

function zoom(factor) {
  const { xaxis, yaxis } = byId("map")._fullLayout;
  const around = (range) => {
    const [middle, half] = [(range[0] + range[1]) / 2, ((range[1] - range[0]) / 2) * factor];
    return [middle - half, middle + half];
  };
  Plotly.relayout(byId("map"), { "xaxis.range": around(xaxis.range), "yaxis.range": around(yaxis.range) });
}

function showAll() {
  Plotly.relayout(byId("map"), { "xaxis.autorange": true, "yaxis.autorange": true });
}

// Moves the view so that an item is within it.
function bringIntoView(place) {
  const { xaxis, yaxis } = byId("map")._fullLayout;
  const map = content.maps[state.map];
  const change = {};
  for (const [name, range, at] of [["xaxis", xaxis.range, map.x[place]], ["yaxis", yaxis.range, map.y[place]]]) {
    const half = (range[1] - range[0]) / 2;
    if (at < range[0] || at > range[1]) change[`${name}.range`] = [at - half, at + half];
  }
  if (Object.keys(change).length) Plotly.relayout(byId("map"), change);
}

// The nearest item in a direction, within 45 degrees of it.
function beside(place, right, up) {
  const map = content.maps[state.map];
  let [best, least] = [-1, Infinity];
  for (const other of shown) {
    const [x, y] = [map.x[other] - map.x[place], map.y[other] - map.y[place]];
    const [along, across] = [x * right + y * up, Math.abs(x * up - y * right)];
    const away = x * x + y * y;
    if (along > 0 && across <= along && away < least) [best, least] = [other, away];
  }
  return best;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function pressOnMap(event) {
  if (event.key === "+" || event.key === "=") zoom(0.7);
  else if (event.key === "-") zoom(1 / 0.7);
  else if (event.key === "0") showAll();
  else if (ARROWS[event.key]) {
    event.preventDefault();
    const place = state.item < 0 ? mostPopular() : beside(state.item, ...ARROWS[event.key]);
    if (place >= 0) chooseItem(place);
  }
}

function mostPopular() {
  return shown.reduce((best, place) => (best < 0 || items.popularity[place] > items.popularity[best] ? place : best), -1);
}
