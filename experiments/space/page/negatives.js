// Negatives of a user and a positive: what each sampler draws, and what the cut-off does.

const drawn = content.negatives;
const NAMES = { uniform: "Uniform", popularity: "Popularity", two_stage: "Two-stage", no_cutoff: "Two-stage, no cut-off", softmax: "Softmax" };
const LINES = {
  uniform: ["uniform", "solid"], popularity: ["popularity", "dash"], two_stage: ["two_stage", "dashdot"],
  no_cutoff: ["bpr", "dot"], softmax: ["softmax", "solid"],
};
const COLUMNS = [
  ["top", percent], ["effective", significant], ["similarity", (value) => signed(value, 3)],
  ["popularity", significant], ["held_out", percent],
];
const choice = { user: 0, pair: 0, cutoff: drawn.cutoff, method: "two_stage" };

function chosenPair() {
  return drawn.users[choice.user].pairs[choice.pair];
}

function popularityOfCandidates() {
  return Array.from(drawn.candidates, (place) => items.popularity[place]);
}

function sharesAt(pair, cutoff) {
  return stage2Shares(pair.similarity, pair.known, cutoff, content.about.dim);
}

// Shares of the candidates under a method; where it draws from all items, relative to each other.
function sharesOf(method) {
  const pair = chosenPair();
  if (method === "two_stage") return sharesAt(pair, choice.cutoff);
  if (method === "no_cutoff") return sharesAt(pair, 1);
  if (method === "softmax") return softmaxShares(drawn.users[choice.user].cosine, drawn.correction, pair.known, drawn.temperature);
  const weight = (place) => (method === "uniform" ? 1 : items.popularity[place] ** drawn.exponent);
  return normalised(Float64Array.from(drawn.candidates, (place, i) => (pair.known[i] ? 0 : weight(place))));
}

// The numbers that were computed with the page, but for those at the cut-off of the slider.
function summaries() {
  const pair = chosenPair();
  const now = summaryOf(sharesAt(pair, choice.cutoff), pair.similarity, pair.heldOut, popularityOfCandidates());
  return { ...pair.summaries, two_stage: now };
}

function lineNode(method) {
  const [colour, dash] = LINES[method];
  const box = { width: 24, height: 10, viewBox: "0 -5 24 10", "aria-hidden": "true" };
  return svgNode("svg", box, linePath(colourOf(colour), dash, 3, 0, 24));
}

function drawTable(numbers) {
  const rows = Object.keys(NAMES).map((method) => {
    const radio = element("input", { type: "radio", name: "method", value: method, change: () => chooseMethod(method) });
    radio.checked = method === choice.method;
    const name = method === "two_stage" ? `Two-stage, cut-off ${cutoffText()}` : NAMES[method];
    const head = element("th", { scope: "row" }, element("label", {}, radio, lineNode(method), name));
    const cells = COLUMNS.map(([column, written]) =>
      element("td", { "data-column": column, "data-value": numbers[method][column] }, written(numbers[method][column])),
    );
    return element("tr", { "data-method": method, class: method === choice.method ? "chosen" : null }, head, ...cells);
  });
  const focused = document.activeElement?.name === "method";
  fill(byId("shares").tBodies[0], ...rows);
  if (focused) byId("shares").querySelector("input:checked").focus();
}

function cutoffText() {
  return choice.cutoff >= 1 ? "none" : choice.cutoff.toFixed(2);
}

function signed(value, digits) {
  return value.toFixed(digits).replace("-", "\u2212");
}

// A mean over all pairs of the page, as they were computed with it.
function overPairs(method, column) {
  const values = drawn.users.flatMap((user) => user.pairs.map((pair) => pair.summaries[method][column]));
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function storyOfAll() {
  const of = (method) => percent(overPairs(method, "held_out"));
  const runs = drawn.cutoff >= 1 ? "" : `, with the run's cut-off ${of("two_stage")}`;
  const count = drawn.users.reduce((sum, user) => sum + user.pairs.length, 0);
  return ` Over the ${counted.format(count)} pairs of this page, held-out positives, false negatives all, are ${of("no_cutoff")} of the draws without a cut-off${runs}, ${of("uniform")} of uniform ones.`;
}

// Digits as exponents.
function raised(digits) {
  return digits.replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).replace("-", "⁻");
}

// What is seen, as sentences.
function story(numbers) {
  const { two_stage: now, no_cutoff: none } = numbers;
  const part = (name, of) => {
    if (!of.effective) return `${name} nothing can be drawn: no candidate has s above 0.`;
    const many = of.effective < 1.5 ? "one item" : `${significant(of.effective)} items`;
    return `${name} the draws are as good as from ${many}, at a mean s of ${signed(of.similarity, 2)}; the most drawn has ${percent(of.top)}.`;
  };
  const { dim } = content.about;
  const steep = (s) => (logWeight(s, 1, dim) / Math.LN10).toFixed(0);
  const says =
    dim > 3
      ? `In ${dim} dimensions 1 / q(s) is 10${raised(steep(0.5))} times as large at s = 0.5 as at 0, and 10${raised(steep(0.9))} times at 0.9, ` +
        "so that the candidates nearest to the positive, which the user would mostly like, take all the draws. "
      : `In ${dim} dimensions 1 / q(s) does not grow with s. `;
  const both = choice.cutoff >= 1 ? "" : ` ${part(`With the cut-off ${cutoffText()}`, now)}`;
  return says + part("Without a cut-off", none) + both + storyOfAll();
}

function drawMostDrawn() {
  const shares = sharesOf(choice.method);
  const pair = chosenPair();
  const best = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a] || pair.similarity[b] - pair.similarity[a]).slice(0, 8).filter((i) => shares[i] > 0);
  const node = (i) => element("li", {}, itemButton(drawn.candidates[i], `${pair.heldOut[i] ? "held out, " : ""}s ${signed(pair.similarity[i], 2)}, ${percent(shares[i])}`));
  fill(byId("most-drawn"), ...best.map(node));
}

function drawNegatives() {
  if (!drawn.users.length) return;
  const numbers = summaries();
  byId("cutoff-shown").textContent = cutoffText();
  byId("cutoff").setAttribute("aria-valuetext", cutoffText());
  byId("story").textContent = story(numbers);
  drawTable(numbers);
  drawWeights();
  drawFalls();
  drawMostDrawn();
  redraw();
}

const redrawNegatives = onceAFrame(drawNegatives);

function chooseMethod(method) {
  choice.method = method;
  drawNegatives();
}

function setCutoff(value) {
  choice.cutoff = value;
  byId("cutoff").value = value;
  redrawNegatives();
}

function drawPositives() {
  const options = drawn.users[choice.user].pairs.map((pair, i) => {
    const place = pair.positive;
    return element("option", { value: i }, `${clipped(titleOf(place) || items.id[place], 60)} (${counted.format(items.popularity[place])} users)`);
  });
  fill(byId("positive"), ...options);
  choice.pair = 0;
}

// Marks that grow with the share, on one scale for all methods, so that what takes most of the draws is large.
function sizes(shares) {
  return Array.from(shares, (share) => Math.min(2.5 + 35 * Math.sqrt(share), 26));
}

panels.negatives = {
  overlays() {
    if (!drawn.users.length) return [];
    const pair = chosenPair();
    const at = drawn.users[choice.user].user; // among all that are shown
    const user = content.users[at];
    const map = content.maps[state.map];
    const shares = sharesOf(choice.method);
    const colour = colourOf(LINES[choice.method][0]);
    const marks = [
      { name: "candidates, by share", places: drawn.candidates, symbol: "circle", size: sizes(shares), colour },
      { name: "known positives", places: user.history, symbol: "square", size: DOT + 4, colour: token("text"), open: true },
      { name: "held-out positives", places: user.heldOut, symbol: "diamond", size: DOT + 6, colour: colourOf("sml"), open: true },
      { name: "the positive", places: [pair.positive], symbol: "star", size: 18, colour: colourOf("sml") },
    ];
    if (map.userX) {
      const point = { x: map.userX[at], y: map.userY[at], text: `user ${user.id}` };
      marks.push({ name: "the user", points: [point], symbol: "cross", size: 15, colour: token("text") });
    }
    return marks;
  },
  shown: drawNegatives,
};

function startNegatives() {
  byId("of-negatives").hidden = !drawn.users.length;
  byId("no-negatives").hidden = drawn.users.length > 0;
  if (!drawn.users.length) return;
  fill(byId("negatives-user"), ...drawn.users.map(({ user }, i) => element("option", { value: i }, clipped(content.users[user].id, 40))));
  fill(byId("negatives-notes"), ...notesOnNegatives().map((note) => element("li", {}, note)));
  drawPositives();
  byId("cutoff").value = choice.cutoff;
  byId("cutoff-run").textContent = drawn.cutoff >= 1 ? "The run's: none" : `The run's: ${drawn.cutoff.toFixed(2)}`;
  byId("cutoff-run").addEventListener("click", () => setCutoff(drawn.cutoff));
  byId("cutoff-none").addEventListener("click", () => setCutoff(1));
  byId("cutoff").addEventListener("input", (event) => setCutoff(Number(event.target.value)));
  byId("negatives-user").addEventListener("change", (event) => {
    choice.user = Number(event.target.value);
    drawPositives();
    drawNegatives();
  });
  byId("positive").addEventListener("change", (event) => {
    choice.pair = Number(event.target.value);
    drawNegatives();
  });
}

function notesOnNegatives() {
  return [
    `Stage 1 has drawn ${counted.format(drawn.candidates.length)} candidates, once, in proportion to popularity to the power ${+drawn.stage1Exponent.toPrecision(3)}. Two-stage and softmax choose among these, uniform and popularity (power ${+drawn.exponent.toPrecision(3)}) among all items; known positives are never drawn.`,
    "Effective number: 1 / sum of squared shares, how many items draws of equal shares would be as concentrated on. Held-out: the share of validation items, which are false negatives.",
    `The softmax draws nothing: its column is the weight of each candidate in the gradient, at temperature ${+drawn.temperature.toPrecision(3)}, by the inner product with the user.`,
    ...drawn.notes,
  ];
}
