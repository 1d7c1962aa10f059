// Items: search, and what is near the chosen one.

function neighboursOf(place) {
  const { neighbours, distances, numNeighbours } = items;
  return Array.from({ length: numNeighbours }, (_, i) => {
    const at = place * numNeighbours + i;
    return { place: neighbours[at], distance: distances[at] };
  });
}

function featureText(feature, place) {
  if (feature.values) return Number.isNaN(feature.values[place]) ? "" : String(+feature.values[place].toPrecision(7));
  const code = feature.codes[place];
  return code < feature.groups.length ? feature.groups[code] : code === feature.groups.length ? "another" : "";
}

function drawItem() {
  const place = state.item;
  if (place < 0) {
    fill(byId("item"), element("p", { class: "quiet" }, "Search, click a dot, or go over the map with the arrow keys."));
    return;
  }
  const facts = element("dl", {});
  const fact = (name, text) => facts.append(element("dt", {}, element("bdi", {}, clipped(name, 60))), element("dd", {}, element("bdi", {}, clipped(text))));
  if (titleOf(place)) fact("Id", items.id[place]);
  fact("Training users", counted.format(items.popularity[place]));
  fact("Cluster", String(items.cluster[place] + 1));
  for (const feature of items.features) {
    const text = featureText(feature, place);
    if (text) fact(feature.name, text);
  }
  const nearest = neighboursOf(place).map(({ place: near, distance: away }) => element("li", {}, itemButton(near, distance(away))));
  const list = element("ol", { class: "list", id: "neighbours" }, ...nearest);
  fill(byId("item"), nameNode(place, true), facts, element("h2", {}, "Nearest items, with distances"), list);
}

function chooseItem(place) {
  state.item = place;
  openTab("items");
  drawItem();
  redraw();
  bringIntoView(place);
  say(`${clipped(titleOf(place) || items.id[place])}, ${items.popularity[place]} training users`);
}

panels.items = {
  overlays() {
    if (state.item < 0) return [];
    return [
      { name: "nearest", places: neighboursOf(state.item).map((near) => near.place), symbol: "circle", size: DOT + 6, colour: colourOf("softmax"), open: true },
      { name: "chosen", places: [state.item], symbol: "star", size: 16, colour: colourOf("softmax") },
    ];
  },
  shown: drawItem,
};

function startItems() {
  picker(byId("item-search"), {
    id: "search",
    label: "Search items by id or title",
    size: items.id.length,
    textsOf: (place) => [items.id[place], titleOf(place)].filter(Boolean),
    nodeOf: (place) => nameNode(place),
    choose: chooseItem,
  });
}
