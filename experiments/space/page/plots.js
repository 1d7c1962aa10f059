// The two plots of the negatives' panel.

const FLAT = { displayModeBar: false, responsive: true, scrollZoom: false, staticPlot: true };

// Ticks at whole powers of ten, about six of them.
function powers(highest) {
  const unit = highest > 12 ? 5 : 1;
  const step = unit * Math.max(1, Math.ceil(highest / 6 / unit));
  const values = [];
  for (let power = 0; power <= highest; power += step) values.push(power);
  return { tickvals: values, ticktext: values.map((power) => (power ? `10<sup>${power}</sup>` : "1")) };
}

function drawWeights() {
  const pair = chosenPair();
  const { dim } = content.about;
  const height = (s, cutoff) => logWeight(s, cutoff, dim) / Math.LN10;
  let far = 0.3;
  for (const values of [pair.similarity, pair.heldOutSimilarity]) for (const s of values) if (s < 0.9999) far = Math.max(far, s);
  far = Math.min(far, 0.995);
  const s = Array.from({ length: 201 }, (_, i) => 0.001 + (i / 200) * (far - 0.001));
  const curve = (method, cutoff) => ({
    type: "scatter",
    mode: "lines",
    x: s,
    y: s.map((value) => height(value, cutoff)),
    line: { color: colourOf(LINES[method][0]), dash: LINES[method][1], width: 2.5 },
  });
  const marks = (values, symbol, colour, size, skip = () => false) => {
    const above = Array.from(values).filter((value, i) => value > 0 && value <= far + 1e-6 && !skip(i));
    const y = above.map((value) => height(value, choice.cutoff));
    return { type: "scatter", mode: "markers", x: above, y, marker: { symbol, size, color: colour, line: { width: 1.5, color: colour } } };
  };
  const highest = height(far, 1);
  const layout = {
    ...plotLayout({ l: 52, r: 10, t: 6, b: 40 }),
    xaxis: axis("s, inner product of positive and candidate", { range: [0, far * 1.02] }),
    yaxis: axis("1 / q(s), 1 at s = 0", { range: [-0.04 * highest, highest * 1.06], ...powers(highest) }),
  };
  const candidates = marks(pair.similarity, "line-ns", colourOf("two_stage"), 7, (i) => pair.known[i]);
  const known = marks(pair.knownSimilarity, "square-open", token("quiet"), 7);
  const heldOut = marks(pair.heldOutSimilarity, "diamond-open", colourOf("sml"), 10);
  Plotly.react(byId("weights"), [curve("no_cutoff", 1), curve("two_stage", choice.cutoff), candidates, known, heldOut], layout, FLAT);
  fill(
    byId("weights-legend"),
    key(lineNode("no_cutoff"), "without a cut-off"),
    key(lineNode("two_stage"), `cut-off ${cutoffText()}, candidates`),
    key(symbolNode("square", token("quiet"), true), "known, never drawn"),
    key(symbolNode("diamond", colourOf("sml"), true), "held out"),
  );
}

function drawFalls() {
  const pair = chosenPair();
  const { edges } = drawn;
  const bins = { ...pair.histograms, two_stage: histogramOf(sharesAt(pair, choice.cutoff), pair.similarity, edges) };
  const traces = Object.keys(NAMES).map((method) => ({
    type: "scatter",
    mode: "lines",
    x: edges,
    y: [...bins[method], 0],
    line: { color: colourOf(LINES[method][0]), dash: LINES[method][1], width: method === choice.method ? 3.5 : 2, shape: "hv" },
  }));
  const layout = {
    ...plotLayout({ l: 52, r: 10, t: 6, b: 40 }),
    xaxis: axis("s", { range: [-0.6, 1] }),
    yaxis: axis("share of the draws", { rangemode: "tozero", tickformat: ".0%" }),
  };
  Plotly.react(byId("falls"), traces, layout, FLAT);
}
