// Drawings beside names, and colours that are seen on the ground.

const SPACE = "http://www.w3.org/2000/svg";
const STROKES = { solid: "", dash: "6 3", dot: "2 2", dashdot: "6 2 2 2", longdashdot: "7 2 2 2 2 2" };

// An element of SVG.
function svgNode(tag, attributes, ...children) {
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

// A piece of a line, dashed as plotly does.
function linePath(colour, dash, width, from, to) {
  return svgNode("path", { d: `M${from},0H${to}`, stroke: colour, "stroke-width": width, "stroke-dasharray": STROKES[dash] });
}
