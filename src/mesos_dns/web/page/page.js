// The page itself: which view is shown, the search field, and what goes on by itself.

import { configuration, Failure, get } from "./api.js";
import { h, renew, span, to } from "./dom.js";
import { Agent, Agents, Framework, Frameworks, Search } from "./lists.js";
import { Name } from "./name.js";
import { Overview, VERDICTS } from "./overview.js";

const VIEWS = { "": Overview, search: Search, name: Name, frameworks: Frameworks, framework: Framework, agents: Agents, agent: Agent };
// Which entry of the navigation a view belongs to.
const PLACES = { "": "", frameworks: "frameworks", framework: "frameworks", agents: "agents", agent: "agents" };
const UPDATE_MS = 5000;
const TYPING_MS = 150;

const main = document.getElementById("main");
const field = document.getElementById("q");
const lost = document.getElementById("lost");

let view = null;
let status = null;
let heardAt = performance.now();
let missing = "";

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return [path, new URLSearchParams(query)];
}

async function show() {
  const [path, parameters] = place();
  // "Skip to the content", and other anchors of this page, are no views.
  if (location.hash && !location.hash.startsWith("#/")) return;
  const View = VIEWS[path] ?? Overview;
  view?.stop();
  const shown = view = new View(parameters);
  main.replaceChildren(shown.element);
  if (document.activeElement !== field) {
    field.value = path === "search" || path === "name" ? parameters.get("q") ?? "" : "";
    scrollTo(0, 0);
  }
  for (const each of document.querySelectorAll("header nav a")) {
    const here = each.getAttribute("href") === to(PLACES[path] ?? "none");
    if (here) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  entitle();
  await Promise.all([attempt(() => shown.start()), update()]);
  // Whoever followed a link wants to hear where it led to.
  if (shown === view && document.activeElement !== field && moved) (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  moved = true;
}

let moved = false;

function entitle() {
  const state = status && status.verdict !== "ok" ? `${status.verdict.toUpperCase()} · ` : "";
  document.title = `${state}${view.title} · Mesos-DNS`;
}

/** Asks how everything does, for the head of the page and the view. */
function update() {
  return attempt(async () => {
    status = await get("/v1/status");
    const [sign, words] = VERDICTS[status.verdict];
    const pill = document.getElementById("verdict");
    pill.className = `pill ${status.verdict}`;
    pill.hidden = view instanceof Overview;
    renew(pill, status.verdict, () => [h("span", { "aria-hidden": "true" }, `${sign} `), words]);
    document.getElementById("about").textContent = `Version ${status.version}, up for ${span(status.uptime)}`;
    entitle();
    await view.update?.(status);
  });
}

/** Does what asks the server; tells if nobody answers, or it says no. */
async function attempt(what) {
  try {
    await what();
    heardAt = performance.now();
    missing = "";
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Failure)) throw error;
    if (error.status) heardAt = performance.now();
    missing = error.status ? `Mesos-DNS says: ${error.message}` : "no answer";
  }
  tellLost();
}

/** Old figures that look like new ones are worse than none. */
function tellLost() {
  document.body.classList.toggle("lost", missing !== "");
  lost.hidden = missing === "";
  const text = missing === "no answer" ? `Mesos-DNS does not answer this page, for ${span((performance.now() - heardAt) / 1000)}: what is shown is old.` : missing;
  if (missing && lost.textContent !== text) lost.textContent = text;
}

field.addEventListener("input", () => {
  clearTimeout(field.timer);
  field.timer = setTimeout(search, TYPING_MS);
});

function search() {
  const text = field.value.trim();
  const [path] = place();
  if (!text && path !== "search") return;
  const target = text ? to("search", { q: text }) : "#/";
  // One step back leads to where the search began.
  if (path === "search") history.replaceState(null, "", target);
  else history.pushState(null, "", target);
  show();
}

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(field.timer);
  search();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "Escape" && event.target === field) {
    field.value = "";
    field.blur();
  }
});

addEventListener("hashchange", show);
addEventListener("popstate", () => { if (document.activeElement === field) field.blur(); });

setInterval(() => { if (!document.hidden) update(); }, UPDATE_MS);
setInterval(() => {
  view.tick?.();
  if (missing) tellLost();
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    view.rest?.();
  } else {
    view.wake?.();
    update();
  }
});
addEventListener("pagehide", () => view.rest?.());
addEventListener("pageshow", (event) => { if (event.persisted) view.wake?.(); });

configuration().then((config) => { document.getElementById("domain").replaceChildren(h("small", null, config.Domain)); }, () => {});
show();
