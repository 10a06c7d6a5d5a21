// Elements, and words for numbers. Whatever comes from a cluster becomes text: there is no way here to make markup of it.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path", "line"]);

/** An element with these attributes and children. Null and false are left out; `onclick` and the like are listeners. */
export function h(tag, attributes, ...children) {
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The address of a view: always within this page. */
export function to(view, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined));
  return `#/${view}${query.size ? `?${query}` : ""}`;
}

export const link = (view, parameters, text, attributes) => h("a", { href: to(view, parameters), ...attributes }, text);
export const nameLink = (name) => link("name", { q: name }, name, { class: "mono" });

/** A section with a heading. */
export function section(title, ...children) {
  return h("section", { class: "card" }, h("h2", null, title), ...children);
}

/** A table: heads are texts, or [text, class]; each row is a list of cells. It scrolls by itself if it is too wide. */
export function table(caption, heads, rows) {
  const cells = heads.map((head) => (Array.isArray(head) ? head : [head, null]));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", null,
      h("caption", { class: "hidden" }, caption),
      h("thead", null, h("tr", null, cells.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)))),
      h("tbody", null, rows.map((row) => h("tr", null, row.map((cell, at) => h("td", { class: cells[at][1] }, cell)))))));
}

/** Puts new children into an element, if they are made of something else than last time. Keeps focus, and screen readers quiet. */
export function renew(element, data, make) {
  const key = JSON.stringify(data);
  if (element.madeOf === key) return;
  element.madeOf = key;
  element.replaceChildren(...[make()].flat(Infinity).filter((child) => child !== null && child !== false));
}

const WHOLE = new Intl.NumberFormat("en");

export const number = (value) => WHOLE.format(value);

/** One thing, or several. */
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

/** A rate, as exact as anybody needs it. */
export function rate(value) {
  if (value >= 100) return number(Math.round(value));
  if (value >= 9.95 || value === 0) return value.toFixed(0);
  return value >= 0.05 ? value.toFixed(1) : "< 0.1";
}

/** A span of time in seconds, in one unit. */
export function span(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${Math.round(seconds / 3600)} h` : `${number(Math.round(seconds / 86400))} d`;
}

export const octets = (value) => `${number(Math.round(value / 1048576))} MiB`;

const two = (value) => String(value).padStart(2, "0");

/** The time of day, with the date if it is not today's; local time. */
export function clock(milliseconds) {
  const at = new Date(milliseconds);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

/** A line to be copied, with a button that does it. */
export function copyable(text) {
  const code = h("code", null, text);
  const button = h("button", { type: "button", "aria-label": `Copy: ${text}`, onclick: () => copy(text, code, button) }, "Copy");
  return h("div", { class: "copyable" }, code, button);
}

async function copy(text, code, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP from elsewhere browsers have no clipboard for pages: the old way.
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}
