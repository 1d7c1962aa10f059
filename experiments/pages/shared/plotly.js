// What plots have in common. Plotly reads some texts as markup, so that it is told none of the data's.

function plotLayout(margins) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: token("text") },
    margin: margins,
    showlegend: false,
    hovermode: "closest",
  };
}

function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 6 },
    gridcolor: token("grid"),
    zerolinecolor: token("line"),
    linecolor: token("line"),
    ...more,
  };
}
