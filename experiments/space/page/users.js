// Users, two side by side: what they had, what is recommended, and what of the history is nearest to that.

const sides = [
  { name: "a", user: content.users.length ? 0 : -1, colour: "two_stage", symbol: "circle" },
  { name: "b", user: content.users.length > 1 ? 1 : -1, colour: "softmax", symbol: "square" },
];

function scoreText(score) {
  return content.about.scoreIsSquaredDistance ? distance(Math.sqrt(Math.max(0, -score))) : significantSigned(score);
}

function significantSigned(value) {
  return (value < 0 ? "−" : "") + significant(Math.abs(value));
}

function reasonsNode(user, rank) {
  const per = user.reasons.length / Math.max(user.items.length, 1);
  const node = element("div", { class: "reasons" }, "near ");
  let count = 0;
  for (let i = 0; i < per; i++) {
    const place = user.reasons[rank * per + i];
    if (place < 0) continue;
    if (count++) node.append(", ");
    const text = clipped(titleOf(place) || items.id[place], 50);
    node.append(element("bdi", { class: "name" }, text), ` (${distance(user.distances[rank * per + i])})`);
  }
  return count ? node : "";
}

function drawUser(side) {
  const holder = byId(`user-${side.name}`);
  const user = content.users[side.user];
  const parts = [];
  if (user) {
    const key = symbolNode(side.symbol, colourOf(side.colour));
    parts.push(element("h2", { class: "name" }, key, " ", element("bdi", { class: "user-id" }, clipped(user.id, 80))));
    parts.push(element("h3", {}, content.about.scoreIsSquaredDistance ? "Recommended, with distances" : "Recommended, with scores"));
    const listed = Array.from(user.items, (place, rank) =>
      element("li", {}, itemButton(place, scoreText(user.scores[rank])), reasonsNode(user, rank)),
    );
    parts.push(element("ol", { class: "list recommended" }, ...listed));
    const part = user.numHistory > user.history.length ? `${counted.format(user.history.length)} of ` : "";
    parts.push(element("h3", {}, `History: ${part}${counted.format(user.numHistory)} training items`));
    parts.push(element("ul", { class: "list scroll history" }, ...Array.from(user.history, (place) => element("li", {}, itemButton(place)))));
    if (user.heldOut.length) {
      parts.push(element("h3", {}, `Held out for validation: ${counted.format(user.heldOut.length)}`));
      parts.push(element("ul", { class: "list scroll" }, ...Array.from(user.heldOut, (place) => element("li", {}, itemButton(place)))));
    }
  }
  fill(holder.querySelector(".of-user"), ...parts);
}

function common(a, b) {
  const there = new Set(b);
  return Array.from(a).filter((place) => there.has(place)).length;
}

function drawTogether() {
  const [a, b] = sides.map((side) => content.users[side.user]);
  if (!a || !b) return;
  byId("together").textContent =
    `In common: ${counted.format(common(a.history, b.history))} items of the histories shown, ` +
    `${counted.format(common(a.items, b.items))} of the recommended ones.`;
}

function chooseUser(side, user) {
  side.user = user;
  drawUser(side);
  drawTogether();
  redraw();
}

function marksOf(side) {
  const user = content.users[side.user];
  if (!user) return [];
  const map = content.maps[state.map];
  const colour = colourOf(side.colour);
  const which = side.name === "a" ? "first" : "second";
  const marks = [
    { name: `history of the ${which}`, places: user.history, symbol: side.symbol, size: DOT + 4, colour },
    { name: `recommended to the ${which}`, places: user.items, symbol: side.symbol, size: DOT + 8, colour, open: true },
  ];
  if (map.userX) {
    const point = { x: map.userX[side.user], y: map.userY[side.user], text: `user ${user.id}` };
    marks.push({ name: `the ${which} user`, points: [point], symbol: "star", size: 18, colour });
  }
  return marks;
}

panels.users = {
  overlays: () => sides.flatMap(marksOf),
  shown() {
    sides.forEach(drawUser);
    drawTogether();
  },
};

function startUsers() {
  for (const side of sides) {
    const holder = byId(`user-${side.name}`);
    picker(holder, {
      id: `search-${side.name}`,
      label: side.name === "a" ? "First user" : "Second user",
      size: content.users.length,
      textsOf: (user) => [content.users[user].id],
      nodeOf: (user) => element("bdi", { class: "name" }, clipped(content.users[user].id)),
      choose: (user) => chooseUser(side, user),
    });
    holder.append(element("div", { class: "of-user" }));
  }
}
