// Small drawings beside names.

// A piece of a line with its marker, whose path plotly has drawn.
function lineIcon(line, path, hasLine) {
  const colour = onGround(line.colour);
  const svg = svgNode("svg", { width: 34, height: 14, viewBox: "-17 -7 34 14", "aria-hidden": "true" });
  if (hasLine) svg.append(linePath(colour, line.dash, line.best ? 3 : 2, -16, 16));
  if (path && line.colour) svg.append(svgNode("path", { d: path, fill: colour }));
  return svg;
}

// An interval on a scale that all have, with a line at 0.
function intervalNode({ low, middle, high }, end) {
  const place = (value) => ((70 * value) / end).toFixed(2);
  const colour = low > 0 || high < 0 ? "var(--accent)" : "var(--quiet)";
  return svgNode(
    "svg",
    { class: "interval", width: 150, height: 16, viewBox: "-75 -8 150 16", role: "img", "aria-label": "see the columns beside" },
    svgNode("path", { d: "M0,-8V8", stroke: "var(--line)", "stroke-width": 1.5 }),
    svgNode("path", { d: `M${place(low)},0H${place(high)}M${place(low)},-4V4M${place(high)},-4V4`, stroke: colour, "stroke-width": 1.5 }),
    svgNode("circle", { cx: place(middle), cy: 0, r: 3.5, fill: colour }),
  );
}
