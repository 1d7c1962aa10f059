// A text field that offers what it finds: a combobox with a list, by mouse and by keyboard.

const HITS = 30;

function plain(text) {
  return text.normalize("NFKD").replace(/\p{M}+/gu, "").replace(/\s+/g, " ").toLowerCase();
}

// What is found for a text: equal, then beginning with it, then holding it. texts: [[text, ...] of each].
function found(texts, wanted) {
  const ranked = [[], [], []];
  let count = 0;
  for (let i = 0; i < texts.length; i++) {
    let rank = 3;
    for (const text of texts[i]) {
      if (text === wanted) rank = 0;
      else if (text.startsWith(wanted)) rank = Math.min(rank, 1);
      else if (text.includes(wanted)) rank = Math.min(rank, 2);
    }
    if (rank === 3) continue;
    count++;
    if (ranked[rank].length < HITS) ranked[rank].push(i);
  }
  return { hits: ranked.flat().slice(0, HITS), count };
}

// Puts a picker into a holder. textsOf: i -> [text, ...]; nodeOf: i -> node; choose: told what was chosen.
function picker(holder, { id, label, size, textsOf, nodeOf, choose }) {
  let texts = null;
  let active = -1;
  const list = element("ul", { role: "listbox", id: `${id}-list`, "aria-label": label, hidden: "" });
  const input = element("input", {
    type: "text",
    id,
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": label,
    "aria-controls": `${id}-list`,
    "aria-expanded": "false",
    "aria-autocomplete": "list",
    placeholder: label,
    input: () => search(),
    focus: () => input.value.trim() && search(),
    blur: () => close(),
    keydown: (event) => press(event),
  });
  holder.append(element("div", { class: "picker" }, input, list));

  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function options() {
    return list.querySelectorAll('[role="option"]');
  }

  function search() {
    const wanted = plain(input.value.trim());
    if (!wanted) return close();
    texts ??= Array.from({ length: size }, (_, i) => textsOf(i).map(plain));
    const { hits, count } = found(texts, wanted);
    fill(
      list,
      ...hits.map((hit, i) =>
        element(
          "li",
          {
            role: "option",
            id: `${id}-${i}`,
            "data-hit": hit,
            "aria-selected": "false",
            mousedown: (event) => event.preventDefault(), // or the field would lose the focus before the click
            click: () => take(hit),
          },
          nodeOf(hit),
        ),
      ),
    );
    const more = count > hits.length ? `${counted.format(hits.length)} of ${counted.format(count)}` : count ? "" : "Nothing found";
    if (more) list.append(element("li", { class: "more", role: "presentation" }, more));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    active = -1;
    say(count ? `${counted.format(count)} found` : "Nothing found");
  }

  function take(hit) {
    close();
    input.value = "";
    choose(hit);
  }

  function press(event) {
    const all = options();
    if (event.key === "Escape") return close();
    if (event.key === "Enter" && !list.hidden && all.length) {
      event.preventDefault();
      return take(Number(all[Math.max(active, 0)].dataset.hit));
    }
    if ((event.key !== "ArrowDown" && event.key !== "ArrowUp") || list.hidden || !all.length) return undefined;
    event.preventDefault();
    if (active >= 0) all[active].setAttribute("aria-selected", "false");
    active = (active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1) + all.length) % all.length;
    all[active].setAttribute("aria-selected", "true");
    all[active].scrollIntoView({ block: "nearest" });
    return input.setAttribute("aria-activedescendant", all[active].id);
  }
  return input;
}
