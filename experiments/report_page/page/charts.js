// Charts: lines or points of all rows, with a legend that takes them away, and a tip by mouse and arrow keys.

const SETTINGS = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: "reset" };
const started = []; // a function a chart, which draws it again

function written(value, { digits }) {
  if (digits !== undefined) return value.toFixed(digits);
  return value >= 1000 || Number.isInteger(value) ? counted.format(Math.round(value)) : String(Number(value.toPrecision(4)));
}

function withDeviation(value, deviation, kind) {
  return written(value, kind) + (deviation ? ` ± ${written(deviation, kind)}` : "");
}

function traceOf(line, x, y, deviations, xDeviations, hasLine) {
  const colour = onGround(line.colour);
  const bars = (array, shade) => ({ type: "data", array, visible: array.some(Boolean), color: shade, thickness: 1, width: 3 });
  return {
    type: "scatter",
    mode: hasLine ? "lines+markers" : "markers",
    x,
    y,
    line: { color: colour, dash: line.dash, width: line.best ? 3.5 : line.colour ? 2 : 1 },
    marker: { color: colour, symbol: line.symbol, size: (line.best ? 3 : 0) + (hasLine ? (line.colour ? 7 : 3) : line.colour ? 10 : 6) },
    error_y: deviations ? bars(deviations, hasLine ? colour : token("dim")) : undefined,
    error_x: xDeviations && xDeviations.length ? bars(xDeviations, token("dim")) : undefined,
    hoverinfo: "none",
    connectgaps: false,
  };
}

function axisLayout(kind) {
  const more = kind.log ? { type: "log", nticks: 6 } : {};
  if (kind.ticks) Object.assign(more, { tickmode: "array", tickvals: kind.ticks, ticktext: kind.ticks.map((tick) => counted.format(tick)) });
  return axis(kind.label, { automargin: true, zeroline: false, ...more });
}

// One chart: its data, the holder of a panel each, and what is chosen.
class Chart {
  constructor(data) {
    this.data = data;
    this.axis = 0;
    this.hidden = new Set();
    this.at = null; // [panel, line, point] of the arrow keys
    this.paths = [];
    this.panels = data.panels.map((panel, i) => this.panelNode(panel, i));
    this.legend = element("div", { class: "keys legend", role: "group", "aria-label": "Lines; press one to take it away" });
    const heading = element("h3", {}, data.title);
    const parts = [heading, ...this.axisChoice(), element("div", { class: "panels" }, ...this.panels), this.legend];
    this.node = element("section", { class: "chart", "data-chart": data.name, "aria-label": data.title }, ...parts, element("p", { class: "quiet" }, data.caption));
  }

  axisChoice() {
    const { axes } = this.data;
    if (axes.length < 2) return [];
    const change = (event) => {
      this.axis = Number(event.target.value);
      this.at = null;
      this.draw();
    };
    const options = axes.map(({ label }, i) => element("option", { value: i }, label));
    return [element("div", { class: "bar" }, element("label", {}, "Against ", element("select", { change }, ...options)))];
  }

  panelNode(panel, i) {
    const label = `${panel.label}. Arrow keys go from point to point and from line to line.`;
    return element("div", {
      class: "plot",
      tabindex: "0",
      role: "application",
      "aria-label": label,
      keydown: (event) => this.press(event, i),
      blur: hideTip,
    });
  }

  visible() {
    return this.data.lines.map((_, i) => i).filter((i) => !this.hidden.has(i));
  }

  // Grey lines first, so that those with a colour lie above them.
  order() {
    const { lines } = this.data;
    const rank = (i) => (lines[i].colour ? (lines[i].best ? 2 : 1) : 0);
    return this.visible().sort((i, j) => rank(i) - rank(j) || i - j);
  }

  draw() {
    const { lines, axes, panels } = this.data;
    const hasLine = this.data.name !== "bias";
    const order = this.order();
    this.panels.forEach((holder, p) => {
      const traces = order.map((i) => traceOf(lines[i], lines[i].x[this.axis], lines[i].y[p], lines[i].deviations[p], lines[i].xDeviations, hasLine));
      const layout = {
        ...plotLayout({ l: 56, r: 12, t: 8, b: 44 }),
        dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
        uirevision: String(this.axis),
        xaxis: axisLayout(axes[this.axis]),
        yaxis: axisLayout({ ...panels[p], log: false }),
      };
      Plotly.react(holder, traces, layout, SETTINGS);
      if (!holder.dataset.hears) this.listen(holder, p);
    });
    this.remember(order);
    this.drawLegend(hasLine);
  }

  listen(holder, p) {
    holder.dataset.hears = "yes";
    holder.on("plotly_hover", (event) => {
      const { curveNumber, pointNumber } = event.points[0];
      this.tip(p, this.order()[curveNumber], pointNumber, event.event.clientX, event.event.clientY);
    });
    holder.on("plotly_unhover", hideTip);
  }

  // The markers' paths, for the legend: as plotly has drawn them.
  remember(order) {
    const groups = this.panels[0].querySelectorAll(".scatterlayer .trace");
    order.forEach((line, i) => {
      const path = groups[i] && groups[i].querySelector("path.point");
      if (path) this.paths[line] = path.getAttribute("d");
    });
  }

  drawLegend(hasLine) {
    const { lines } = this.data;
    const nodes = lines.flatMap((line, i) => {
      if (!line.colour) return [];
      const click = () => {
        this.hidden[this.hidden.has(i) ? "delete" : "add"](i);
        this.at = null;
        this.draw();
        this.legend.querySelector(`[data-line="${i}"]`).focus();
      };
      const name = element(line.best ? "strong" : "bdi", {}, clipped(line.name, 80));
      const attributes = { type: "button", class: "key", "data-line": i, "aria-pressed": String(!this.hidden.has(i)), click };
      return [element("button", attributes, lineIcon(line, this.paths[i], hasLine), name, line.best ? " (best)" : "")];
    });
    fill(this.legend, ...nodes);
  }

  tip(p, i, point, x, y) {
    const line = this.data.lines[i];
    const [kind, panel] = [this.data.axes[this.axis], this.data.panels[p]];
    const across = withDeviation(line.x[this.axis][point], line.xDeviations[point], kind);
    const up = withDeviation(line.y[p][point], line.deviations[p] && line.deviations[p][point], panel);
    const texts = [`${panel.label}: ${up}`, `${kind.label}: ${across}`];
    showTip(x, y, element("strong", {}, element("bdi", {}, clipped(line.name))), ...texts.map((text) => element("div", {}, text)));
    return `${clipped(line.name, 60)}, ${texts.join(", ")}`;
  }

  press(event, p) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const shown = this.visible();
    if (event.key === "Escape") hideTip();
    if (!by || !shown.length || event.target !== this.panels[p]) return;
    event.preventDefault();
    let [line, point] = this.at && this.at[0] === p ? this.at.slice(1) : [shown[0], -1];
    if (point < 0) point = 0;
    else if (by[0]) line = shown[(shown.indexOf(line) + by[0] + shown.length) % shown.length];
    else point += by[1];
    point = Math.max(0, Math.min(point, this.data.lines[line].x[this.axis].length - 1));
    this.at = [p, line, point];
    this.showAt(p, line, point);
  }

  showAt(p, line, point) {
    const holder = this.panels[p];
    const box = holder.getBoundingClientRect();
    const { xaxis, yaxis } = holder._fullLayout;
    const place = (kind, value) => kind._offset + (value === null ? 0 : kind.d2p(value));
    const [x, y] = [this.data.lines[line].x[this.axis][point], this.data.lines[line].y[p][point]];
    if (y === null) {
      hideTip();
      say(`${clipped(this.data.lines[line].name, 60)} has no value there`);
      return;
    }
    say(this.tip(p, line, point, box.left + place(xaxis, x), box.top + place(yaxis, y)));
  }
}

function addChart(holder, data) {
  const chart = new Chart(data);
  holder.append(chart.node); // drawn when all are in their places, which decides how wide they are
  started.push(() => chart.draw());
}
