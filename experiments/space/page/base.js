// What all parts share: the content, what is chosen, and elements. Text of the data becomes text nodes alone.

const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

// Arrays as they were packed; on the machines that browsers run on the first byte is the lowest.
function revived(key, value) {
  if (!value || typeof value.base64 !== "string" || !ARRAYS[value.dtype]) return value;
  const text = atob(value.base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ARRAYS[value.dtype](bytes.buffer);
}

const content = JSON.parse(document.getElementById("content").textContent, revived);
const items = content.items;
const state = { tab: "items", item: -1, map: 0, colour: "popularity", least: 0, most: Infinity };
const panels = {}; // tab -> { overlays(): what it puts on the map, shown(): it was opened }

function byId(id) {
  return document.getElementById(id);
}

// An element; attributes that are functions listen, children that are strings are text.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function fill(holder, ...children) {
  holder.replaceChildren(...children);
}

// The first characters of a text, of which one may be two numbers long.
function clipped(text, length = 160) {
  if (text.length <= length) return text;
  return Array.from(text.slice(0, 2 * length)).slice(0, length).join("") + "…";
}

function titleOf(place) {
  return (items.title && items.title[place]) || "";
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

const counted = new Intl.NumberFormat("en");

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

function say(text) {
  byId("said").textContent = text;
}

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

// Runs once before the next frame, however often it is asked for.
function onceAFrame(act) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      act();
    });
  };
}

// What plots have in common.
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
