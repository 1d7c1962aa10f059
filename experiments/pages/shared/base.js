// What all pages share: the content and elements. Text of the data becomes text nodes alone.

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

const counted = new Intl.NumberFormat("en");

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
