// The tip beside the pointer; plotly's own would read text as markup.

function showTip(x, y, ...children) {
  const tip = byId("tip");
  fill(tip, ...children);
  tip.hidden = false;
  tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - tip.offsetHeight - 8))}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}
