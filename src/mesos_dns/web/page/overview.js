// Is all well? The verdict first, then what it follows from.

import { Changes } from "./changes.js";
import { charts, History } from "./charts.js";
import { Clients } from "./clients.js";
import { clock, count, h, nameLink, number, octets, rate, renew, section, span, table } from "./dom.js";

export const VERDICTS = {
  ok: ["✓", "All is well"],
  degraded: ["!", "Degraded"],
  down: ["✕", "Down"],
};

/** The first view. `update` is called with the status every few seconds, `tick` every second, `stop` when it goes. */
export class Overview {
  title = "Overview";
  #verdict = h("section", { class: "verdict", role: "status", "aria-label": "Verdict" });
  #age = h("span", null, "…");
  #facts = h("dl", { class: "facts" });
  #charts = h("div", { class: "charts" });
  #odd = h("div", { class: "stack" });
  #parts = h("div", { class: "stack" });
  #tables = h("div", { class: "stack" });
  #history = new History();
  #changes = new Changes();
  #clients = new Clients();
  #status = null;
  #at = 0;

  constructor() {
    this.element = h("div", { class: "stack" }, this.#verdict, this.#facts, this.#charts,
      h("div", { class: "columns" }, this.#changes.element, h("div", { class: "stack" }, this.#odd, this.#parts)), this.#clients.element, this.#tables);
  }

  async start() {
    await this.#changes.start();
  }

  rest() {
    this.#changes.rest();
  }

  wake() {
    this.#changes.wake();
  }

  stop() {
    this.#changes.stop();
    this.#clients.stop();
  }

  async update(status) {
    this.#status = status;
    this.#at = performance.now();
    this.#show(status);
    this.tick();
    this.#clients.element.hidden = !("query_log" in status);
    await this.#history.update();
    renew(this.#charts, this.#history.steps.at(-1)?.at ?? 0, () => charts(this.#history));
    this.#showFacts(status);
  }

  /** The age of the data goes on by itself. */
  tick() {
    const age = this.#status?.source.age;
    if (age !== undefined) this.#age.textContent = age === null ? "none yet" : `${span(age + (performance.now() - this.#at) / 1000)} old`;
  }

  #show(status) {
    const { verdict, problems, cluster, notes } = status;
    renew(this.#verdict, [verdict, problems, notes, cluster.tasks], () => shownVerdict(status));
    this.#verdict.className = `verdict ${verdict}`;
    this.#showFacts(status);
    renew(this.#odd, [status.verdict, status.holding, status.held.map((each) => each.id), status.left_out, status.collisions, status.skipped], () => asides(status));
    renew(this.#parts, [status.workers, status.masters, status.processes], () => parts(status));
    renew(this.#tables, [status.upstreams, status.configuration], () => tables(status));
  }

  #showFacts(status) {
    const { cluster } = status;
    const names = status.zones.reduce((sum, zone) => sum + zone.names, 0);
    renew(this.#facts, [status.source.leader, status.source.live, status.source.using, cluster, names, rate(this.#history.now)], () => [
      fact("Leader", status.source.leader || "none", status.source.cluster),
      fact("Data", this.#age, status.source.live ? "live events" : status.source.using),
      fact("Tasks", number(cluster.tasks)),
      fact("Agents", number(cluster.agents)),
      fact("Frameworks", number(cluster.frameworks)),
      fact("Names", number(names)),
      fact("Queries", `${rate(this.#history.now)}/s`, "last 30 s"),
    ]);
  }
}

function shownVerdict({ verdict, problems, cluster }) {
  const [sign, words] = VERDICTS[verdict];
  const served = verdict === "down" ? "Names are not served as they should be." : `Names of ${count(cluster.tasks, "task")} are served.`;
  return [
    h("h1", { tabindex: "-1" }, h("span", { class: "sign", "aria-hidden": "true" }, sign), words),
    h("p", null, served),
    problems.length > 0 && h("ul", null, problems.map((problem) => h("li", null, problem))),
  ];
}

const fact = (term, value, more) => h("div", null, h("dt", null, term), h("dd", null, value, more && h("small", null, more)));

function asides(status) {
  const skipped = Object.entries(status.skipped).filter(([, times]) => times);
  const collisions = Object.entries(status.collisions.counts).filter(([, times]) => times);
  return [
    status.holding.length > 0 && held(status),
    collisions.length > 0 && section("Names that collide",
      h("ul", null, collisions.map(([kind, times]) => h("li", null, `${kind}: ${number(times)}`))),
      status.collisions.shown.length > 0 && h("ul", { class: "plain" }, status.collisions.shown.map((each) =>
        h("li", null, nameLink(each.name), ` ${each.sharers.join(", ")}${each.more ? ` and ${each.more} more` : ""}`)))),
    skipped.length > 0 && section("Left without a name", h("ul", null, skipped.map(([reason, times]) => h("li", null, `${reason}: ${number(times)}`)))),
    status.left_out > 0 && section("Unhealthy", h("p", null, `${count(status.left_out, "task")} give way to healthy ones of the same names.`)),
    status.verdict !== "down" && !status.holding.length && !collisions.length && !skipped.length && section("Anything odd?", h("p", null, "No: nothing is held, collides, or lacks a name.")),
  ];
}

function held(status) {
  const what = ({ tasks, agents, frameworks }) => [count(tasks, "task"), count(agents, "agent"), count(frameworks, "framework")].join(", ");
  const until = (seconds) => (seconds === null ? "until the state shows them" : `for ${span(seconds)} at most`);
  return section("Held through a change",
    h("ul", null, status.holding.map((each) => h("li", null, `${what(each)}, ${until(each.seconds)}: ${each.because}`))),
    h("details", null, h("summary", null, `The first ${status.held.length}`),
      h("ul", { class: "plain mono" }, status.held.map((each) => h("li", null, `${each.kind} ${each.id}`)))));
}

const dot = (kind, text) => h("span", { class: `state ${kind}` }, text);

function parts(status) {
  return [
    status.workers.length > 0 && section("Workers", table("Workers", ["Worker", "State", ["Answers/s", "n"], ["Restarts", "n"], ["Memory", "n"]],
      status.workers.map((each) => [
        `${each.number}`, each.trouble ? dot("bad", each.trouble) : dot("ok", "answers"),
        rate(each.answers_per_second), number(each.restarts), memory(status, each.pid),
      ]))),
    status.masters.length > 0 && section("Masters", table("Masters", ["Master", "Role", ["Answered", "n"]],
      status.masters.map((each) => [
        [each.master, each.last_error && h("small", { class: "quiet below" }, each.last_error)],
        dot(each.failing ? "bad" : each.role === "leading" ? "ok" : "", each.failing ? `${each.role}, failing` : each.role),
        each.answered === null ? "never" : `${span(each.answered)} ago`,
      ]))),
  ];
}

function tables(status) {
  const good = { ok: "ok", slow: "warn", failing: "warn", open: "bad", unasked: "" };
  return [
    status.upstreams.length > 0 && section("Upstreams", table("Upstreams", ["Upstream", "For", "State", ["Round trip", "n"], ["Questions", "n"], ["Failures", "n"], "Last error"],
      status.upstreams.map((each) => [
        each.upstream, each.zones.join(" "), dot(good[each.state] ?? "", each.state),
        each.rtt_us === null ? "" : `${(each.rtt_us / 1000).toFixed(1)} ms`, number(each.requests), number(each.failures), each.last_error,
      ]))),
    section("Configuration", h("p", null, `From ${status.configuration.from || "nowhere"}, read ${clock(status.configuration.taken * 1000)}; the newest is ${status.configuration.newest}.`,
      status.configuration.reason && ` ${status.configuration.reason}`)),
  ];
}

function memory(status, pid) {
  const found = status.processes.find((each) => each.pid === pid && pid !== null);
  return found?.memory ? octets(found.memory) : "";
}
