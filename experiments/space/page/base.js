// What all parts share: what is chosen, and how items are named.

const items = content.items;
const state = { tab: "items", item: -1, map: 0, colour: "popularity", least: 0, most: Infinity };
const panels = {}; // tab -> { overlays(): what it puts on the map, shown(): it was opened }

function titleOf(place) {
  return (items.title && items.title[place]) || "";
}

// The colour of a method, as in the report's figures.
function colourOf(method) {
  return onGround(content.colours[method]);
}

// An item's title and id, each kept from turning the direction of what stands around it.
function nameNode(place, whole = false) {
  const title = titleOf(place);
  const id = items.id[place];
  const shown = whole ? (text) => text : clipped;
  const node = element("span", { class: whole ? "name whole" : "name clamped" }, element("bdi", {}, shown(title || id)));
  if (title && !whole) node.append(" ", element("bdi", { class: "id" }, clipped(id, 40)));
  return node;
}

function itemButton(place, number) {
  const button = element("button", { type: "button", class: "item", click: () => chooseItem(place) }, nameNode(place));
  if (number !== undefined) button.append(element("span", { class: "number" }, number));
  return button;
}

function distance(value) {
  return value.toFixed(3);
}

function percent(value) {
  if (value > 0 && value < 0.0001) return "< 0.01 %";
  return `${(100 * value).toFixed(value < 0.1 ? 2 : 1)} %`;
}

function significant(value) {
  if (value >= 100 || value === 0) return counted.format(Math.round(value));
  return value.toPrecision(value >= 10 ? 3 : 2);
}
