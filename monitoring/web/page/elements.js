// Elements are made by name and filled with text nodes alone: there is no way for what users wrote
// (labels, texts, names) to become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== false));
  return element;
}

const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

function time(seconds, near, text) {
  if (!known(seconds)) return unknown("never");
  const attributes = { datetime: dateOf(seconds).toISOString(), title: utc(seconds) };
  return h("time", attributes, text || moment(seconds, near));
}

function ago(seconds, now) {
  if (!known(seconds)) return unknown();
  return time(seconds, now, `${duration(Math.max(0, now - seconds))} ago`);
}

// A drawing says in words what it shows; the figures are in a table beside it.
function picture(width, height, label, ...children) {
  const box = {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": label,
  };
  return s("svg", box, s("title", null, label), ...children);
}

function decoration(width, height, ...children) {
  const box = { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" };
  return s("svg", box, ...children);
}

const STATES = ["alarm", "warning", "unknown", "ok"];
const STATE_WORDS = { alarm: "alarm", warning: "warning", unknown: "unknown", ok: "ok" };

// Told by word and by shape, and only then by colour.
function stateMark(state) {
  const shapes = {
    alarm: () => [
      s("path", { d: "M5 1h6l4 4v6l-4 4H5l-4-4V5z" }),
      s("path", { class: "inner", d: "M8 4.2v4.6M8 11v1.4" }),
    ],
    warning: () => [
      s("path", { d: "M8 1.2 15.4 14.5H.6z" }),
      s("path", { class: "inner", d: "M8 6v4M8 11.6v1.3" }),
    ],
    ok: () => [
      s("circle", { cx: 8, cy: 8, r: 6.6 }),
      s("path", { class: "inner", d: "M4.9 8.3l2.2 2.2 4-4.6" }),
    ],
    unknown: () => [s("circle", { class: "ring", cx: 8, cy: 8, r: 6 })],
  };
  return decoration(16, 16, s("g", { class: `shape ${state}` }, ...shapes[state]()));
}

function stateWord(state) {
  return h("span", { class: `state ${state}` }, stateMark(state), STATE_WORDS[state]);
}

// Charts are drawn at the width that they get, so that their texts keep their size.

const pending = [];

function chart(height, draw, attributes) {
  const box = h("div", { class: "chart", ...attributes });
  pending.push({ box, draw, height, width: 0 });
  return box;
}

function drawCharts() {
  for (let index = pending.length - 1; index >= 0; index -= 1) {
    const item = pending[index];
    if (!item.box.isConnected) {
      pending.splice(index, 1);
      continue;
    }
    const width = Math.floor(item.box.clientWidth);
    if (width === item.width || width === 0) continue;
    item.width = width;
    item.box.replaceChildren(item.draw(width, item.height));
  }
}

function card(title, span, ...children) {
  return h(
    "section",
    { class: span ? `card span-${span}` : "card" },
    h("h2", null, title),
    ...children,
  );
}

// Cards below each other; two such stand side by side where there is room.
function stack(span, ...cards) {
  return h("div", { class: `stack span-${span}` }, cards);
}

function note(...children) {
  return h("p", { class: "note" }, ...children);
}

// A table that scrolls by itself where it is too wide, with keys too.
function table(caption, head, rows, attributes) {
  const headings = head.map((cell) => {
    const numeric = cell.startsWith("#");
    const text = numeric ? cell.slice(1) : cell;
    return h("th", { scope: "col", class: numeric ? "number" : null }, text);
  });
  const body = rows.map((row) =>
    h(
      "tr",
      null,
      row.map((cell, index) => tableCell(cell, index, head[index].startsWith("#"))),
    ),
  );
  return h(
    "div",
    {
      class: "scroll",
      id: slug(caption),
      tabindex: "0",
      role: "group",
      "aria-label": caption,
      ...attributes,
    },
    h(
      "table",
      null,
      h("caption", null, caption),
      h("thead", null, h("tr", null, headings)),
      h("tbody", null, body),
    ),
  );
}

function tableCell(cell, index, numeric) {
  if (index === 0) return h("th", { scope: "row" }, cell);
  return h("td", { class: numeric ? "number" : null }, cell);
}

// What takes the focus, folds or scrolls has an id, so that it keeps its state over a refresh.
const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-");

// The figures of a drawing, folded away.
function folded(id, summary, content) {
  return h("details", { id }, h("summary", { id: `${id}-summary` }, summary), content);
}
