// One name: its answer, why it is so, how to ask for it, and what changed.

import { configuration, list } from "./api.js";
import { item } from "./changes.js";
import { copyable, count, h, link, nameLink, section, table } from "./dom.js";

const STATUS = { answer: "NOERROR", nodata: "NOERROR", nxdomain: "NXDOMAIN" };

export class Name {
  #name;

  constructor(parameters) {
    this.#name = parameters.get("q") ?? "";
    this.title = this.#name;
    this.element = h("div", { class: "stack" }, h("h1", { tabindex: "-1", class: "mono" }, this.#name), h("p", { class: "quiet" }, "Asking …"));
  }

  async start() {
    let explained;
    try {
      explained = await list("/v1/explain", { name: this.#name });
    } catch (error) {
      if (error.status !== 404 && error.status !== 400) throw error;
      this.element.lastElementChild.textContent = error.status === 404 ? "This server explains no names: EnumerationOn is off." : error.message;
      return;
    }
    const { verdict } = explained;
    const [config, changes] = await Promise.all([
      configuration(), verdict === "bad name" ? null : list("/v1/changes", { name: this.#name, limit: 20 }),
    ]);
    this.element.replaceChildren(
      h("div", { class: `verdict ${{ answer: "ok", nodata: "ok", outside: "neutral" }[verdict] ?? "degraded"}` },
        h("h1", { tabindex: "-1", class: "mono" }, explained.name),
        h("p", null, explained.summary)),
      h("div", { class: "columns" }, h("div", { class: "stack" }, answer(explained), givers(explained)),
        h("div", { class: "stack" }, why(explained), ask(explained, config), recent(changes))));
  }

  stop() {}
}

function answer({ name, types, verdict, records, records_more: more }) {
  if (!(verdict in STATUS)) return null;
  const widest = Math.max(0, ...records.map((each) => each.name.length));
  const lines = records.map((each) => `${each.name.padEnd(widest)}  ${String(each.ttl).padStart(5)}  IN  ${each.rtype.padEnd(4)}  ${each.rdata}`);
  const head = [`;; status: ${STATUS[verdict]}, ANSWER: ${records.length + more}`, `;; QUESTION: ${name} IN ${types.join(", ") || "A"}`, ""];
  return section("Answer", h("pre", { tabindex: "0" }, [...head, ...lines, ...(more ? [`; and ${count(more, "more record")}`] : [])].join("\n")));
}

function givers({ records }) {
  const seen = new Map();
  for (const record of records) {
    for (const giver of record.givers) seen.set(`${giver.kind} ${giver.framework_id} ${giver.id}`, { ...giver, gives: [...(seen.get(`${giver.kind} ${giver.framework_id} ${giver.id}`)?.gives ?? []), record.rdata] });
  }
  if (!seen.size) return null;
  const state = (each) => [each.health && h("span", { class: `state ${each.health === "healthy" ? "ok" : "bad"}` }, each.health), each.held && h("span", { class: "state warn" }, `held: ${each.held.why}`)];
  return section("Given by", table("Who gives these records", ["Who", "Framework", "Agent", "State", "Gives"],
    [...seen.values()].map((each) => [
      h("span", { class: "mono" }, each.kind === "task" ? each.id : `${each.kind} ${each.id}`),
      each.framework_id ? link("framework", { id: each.framework_id }, each.framework || each.framework_id) : "",
      each.agent_id ? link("agent", { id: each.agent_id }, each.agent || each.agent_id) : "",
      state(each), h("span", { class: "mono" }, [...new Set(each.gives)].join(", ")),
    ])));
}

function why({ reasons, nearest, alike, upstreams }) {
  if (!reasons.length && !nearest && !alike.length && !upstreams.length) return null;
  return section("Why",
    reasons.length > 0 && h("ol", null, reasons.map((reason) => h("li", null, reason.text, reason.name && [" (", nameLink(reason.name), ")"]))),
    nearest && h("p", null, "The closest name above that exists: ", nameLink(nearest)),
    alike.length > 0 && h("p", null, "Alike: ", alike.map((each, at) => [at ? ", " : "", nameLink(each)])),
    upstreams.length > 0 && h("ul", null, upstreams.map((each) => h("li", null, `${each.address}: ${each.down ? "silent" : "asked"}${each.milliseconds === null ? "" : `, ${each.milliseconds} ms`}`))));
}

// Shells take what is in single quotes as it is; a name may hold anything.
const quoted = (text) => (/^[\w.:/?=&%@[\]-]+$/.test(text) && !/[?&[\]]/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function ask({ name, types }, config) {
  const host = /^(0\.0\.0\.0|::)$/.test(config.Listener) ? location.hostname.replace(/[[\]]/g, "") : config.Listener;
  const port = config.Port === 53 ? "" : ` -p ${config.Port}`;
  const kinds = types.length ? types : ["A"];
  const first = kinds.includes("SRV") && !kinds.includes("A") ? "services" : "hosts";
  const origin = location.origin;
  return section("Ask for it",
    kinds.map((kind) => copyable(`dig @${host}${port} ${quoted(name)} ${kind}`)),
    copyable(`curl -s ${quoted(`${origin}/v1/${first}/${encodeURIComponent(name)}`)}`),
    copyable(`curl -s ${quoted(`${origin}/v1/explain?name=${encodeURIComponent(name)}`)}`));
}

function recent(found) {
  if (!found) return null;
  return section("Recent changes", found.changes.length
    ? h("ol", { class: "changes" }, found.changes.map((change) => item(change)).reverse())
    : h("p", { class: "quiet" }, "None are remembered."));
}
