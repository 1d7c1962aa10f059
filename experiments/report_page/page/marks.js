// Colours that are seen on the ground, and small drawings beside names.

const SPACE = "http://www.w3.org/2000/svg";
const STROKES = { solid: "", dash: "6 3", dot: "2 2", dashdot: "6 2 2 2", longdashdot: "7 2 2 2 2 2" };

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

// Relative luminance, and the contrast of two colours, as WCAG 2 defines them.
function luminance(rgb) {
  const [red, green, blue] = rgb.map((value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

// The colour of the PNG; on a dark ground as much lighter as it takes to be seen. None stands for grey.
function onGround(colour) {
  if (!colour) return token("dim");
  if (!isDark()) return colour;
  const ground = channels(token("ground"));
  let rgb = channels(colour);
  while (contrast(rgb, ground) < 4) rgb = rgb.map((value) => Math.min(255, value + 8));
  return `rgb(${rgb.join(",")})`;
}

// A piece of a line with its marker, whose path plotly has drawn.
function lineIcon(line, path, hasLine) {
  const colour = onGround(line.colour);
  const svg = drawn("svg", { width: 34, height: 14, viewBox: "-17 -7 34 14", "aria-hidden": "true" });
  if (hasLine) svg.append(drawn("path", { d: "M-16,0H16", stroke: colour, "stroke-width": line.best ? 3 : 2, "stroke-dasharray": STROKES[line.dash] }));
  if (path && line.colour) svg.append(drawn("path", { d: path, fill: colour }));
  return svg;
}

// An interval on a scale that all have, with a line at 0.
function intervalNode({ low, middle, high }, end) {
  const place = (value) => ((70 * value) / end).toFixed(2);
  const colour = low > 0 || high < 0 ? "var(--accent)" : "var(--quiet)";
  return drawn(
    "svg",
    { class: "interval", width: 150, height: 16, viewBox: "-75 -8 150 16", role: "img", "aria-label": "see the columns beside" },
    drawn("path", { d: "M0,-8V8", stroke: "var(--line)", "stroke-width": 1.5 }),
    drawn("path", { d: `M${place(low)},0H${place(high)}M${place(low)},-4V4M${place(high)},-4V4`, stroke: colour, "stroke-width": 1.5 }),
    drawn("circle", { cx: place(middle), cy: 0, r: 3.5, fill: colour }),
  );
}
