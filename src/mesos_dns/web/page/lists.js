// Searching, and the cluster as lists.

import { list } from "./api.js";
import { count, h, link, nameLink, number, section, table, to } from "./dom.js";

const LIMIT = 50;

function off(error) {
  if (error.status !== 404) throw error;
  return h("p", null, "This server lists no names: EnumerationOn is off.");
}

const health = (text) => text && h("span", { class: `state ${text === "healthy" ? "ok" : "bad"}` }, text);

function tasks(caption, found, { framework = true, agent = true } = {}) {
  const heads = ["Name", "Task", ...(framework ? ["Framework"] : []), ...(agent ? ["Agent"] : []), "Addresses", "Health"];
  return table(caption, heads, found.map((each) => [
    each.dns ? nameLink(each.dns) : h("span", { class: "quiet" }, "no name"),
    h("span", { class: "mono id" }, each.id),
    ...(framework ? [link("framework", { id: each.framework_id }, each.framework || each.framework_id)] : []),
    ...(agent ? [link("agent", { id: each.agent_id }, each.agent || each.agent_id)] : []),
    h("span", { class: "mono" }, each.addresses.join(", ")),
    health(each.health),
  ]));
}

const frameworks = (found) => table("Frameworks", ["Framework", ["Tasks", "n"], "Scheduler", "Id"], found.map((each) => [
  link("framework", { id: each.id }, each.name || each.id), number(each.tasks), each.port ? `${each.host}:${each.port}` : each.host, h("span", { class: "mono id" }, each.id)]));

const agents = (found) => table("Agents", ["Agent", ["Tasks", "n"], "Addresses", "Id"], found.map((each) => [
  link("agent", { id: each.id }, each.host || each.id), number(each.tasks), h("span", { class: "mono" }, each.addresses.join(", ")), h("span", { class: "mono id" }, each.id)]));

/** Hits as one types: the quick ones first; all names are looked through if there is none among those. */
export class Search {
  title = "Search";
  #said = h("p", { role: "status" }, "Type a part of a name, a task's id, an agent or an address.");
  #found = h("div", { class: "stack" });
  #under = null;

  constructor(parameters) {
    this.text = (parameters.get("q") ?? "").trim();
    this.element = h("div", { class: "stack" }, h("h1", { tabindex: "-1" }, this.text ? `Search: ${this.text}` : "Search"), this.#said, this.#found);
  }

  async start() {
    if (!this.text) return;
    this.#under = new AbortController();
    const signal = this.#under.signal;
    try {
      const found = await list("/v1/search", { q: this.text }, { signal });
      this.#show(found);
      if (!found.names.length) {
        const all = await list("/v1/search", { q: this.text, names: "all" }, { signal });
        this.#show(all);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#said.replaceChildren(off(error));
    }
  }

  stop() {
    this.#under?.abort();
  }

  #show(found) {
    const { totals } = found;
    const words = [[totals.names, "name"], [totals.tasks, "task"], [totals.agents, "agent"], [totals.frameworks, "framework"]].filter(([times]) => times).map(([times, one]) => count(times, one));
    this.#said.textContent = words.length ? `${words.join(", ")}.` : "Nothing is called so.";
    const of = (kind) => (totals[kind] > found[kind].length ? `, the best ${found[kind].length} of ${number(totals[kind])}` : "");
    this.#found.replaceChildren(...[
      found.names.length > 0 && section(`Names${of("names")}`, h("ul", { class: "plain names" }, found.names.map((each) => h("li", null, nameLink(each.name), " ", h("small", { class: "quiet" }, each.types.join(" ")))))),
      found.tasks.length > 0 && section(`Tasks${of("tasks")}`, tasks("Tasks", found.tasks)),
      found.agents.length > 0 && section(`Agents${of("agents")}`, agents(found.agents)),
      found.frameworks.length > 0 && section(`Frameworks${of("frameworks")}`, frameworks(found.frameworks)),
      !words.length && h("p", null, "Why it has no answer: ", nameLink(this.text)),
    ].filter(Boolean));
  }
}

/** A list, a page at a time. */
class Paged {
  #offset;

  constructor(parameters, title) {
    this.parameters = parameters;
    this.title = title;
    this.#offset = Number(parameters.get("offset") ?? 0) || 0;
    this.element = h("div", { class: "stack" }, h("h1", { tabindex: "-1" }, title), h("p", { class: "quiet" }, "Asking …"));
  }

  async start() {
    let body;
    try {
      const found = await this.ask({ offset: this.#offset, limit: LIMIT });
      const shown = this.entries(found).length;
      body = [
        h("p", null, shown ? `${number(this.#offset + 1)} to ${number(this.#offset + shown)} of ${number(found.total)}` : "None."),
        shown > 0 && h("div", { class: "card" }, this.rows(found)),
        this.#pages(found.total),
      ];
    } catch (error) {
      body = [off(error)];
    }
    this.element.replaceChildren(h("h1", { tabindex: "-1" }, this.title), ...body.filter(Boolean));
  }

  stop() {}

  #pages(total) {
    const at = (offset) => to(this.view, { id: this.parameters.get("id") ?? undefined, offset: offset || undefined });
    const before = this.#offset > 0 && h("a", { href: at(Math.max(0, this.#offset - LIMIT)), rel: "prev" }, "← Before");
    const after = this.#offset + LIMIT < total && h("a", { href: at(this.#offset + LIMIT), rel: "next" }, "After →");
    return (before || after) && h("nav", { class: "pages", "aria-label": "Pages" }, before, after);
  }
}

export class Frameworks extends Paged {
  view = "frameworks";
  constructor(parameters) { super(parameters, "Frameworks"); }
  ask(part) { return list("/v1/frameworks", part); }
  entries(found) { return found.frameworks; }
  rows(found) { return frameworks(found.frameworks); }
}

export class Agents extends Paged {
  view = "agents";
  constructor(parameters) { super(parameters, "Agents"); }
  ask(part) { return list("/v1/agents", part); }
  entries(found) { return found.agents; }
  rows(found) { return agents(found.agents); }
}

class TasksOf extends Paged {
  constructor(parameters, kind) {
    super(parameters, `${kind === "framework" ? "Framework" : "Agent"} ${parameters.get("id")}`);
    this.view = kind;
  }
  async ask(part) {
    const found = await list("/v1/tasks", { ...part, [this.view]: this.parameters.get("id") ?? "" });
    const called = this.view === "framework" ? found.tasks[0]?.framework : found.tasks[0]?.agent;
    if (called) this.title = `${this.view === "framework" ? "Framework" : "Agent"} ${called}`;
    return found;
  }
  entries(found) { return found.tasks; }
  rows(found) { return tasks("Tasks", found.tasks, { framework: this.view !== "framework", agent: this.view !== "agent" }); }
}

export class Framework extends TasksOf {
  constructor(parameters) { super(parameters, "framework"); }
}

export class Agent extends TasksOf {
  constructor(parameters) { super(parameters, "agent"); }
}
