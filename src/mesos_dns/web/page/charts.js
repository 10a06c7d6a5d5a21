// Small charts of the last quarter of an hour: areas on top of each other, with their numbers beside them in words.

import { get } from "./api.js";
import { h, rate } from "./dom.js";

const STEPS = 180;
const HEIGHT = 48;
// Steps of which the numbers in words are the mean: half a minute.
const LATELY = 6;

const CHARTS = [
  { group: "types", title: "Queries by type", shown: ["A", "AAAA", "SRV"], words: {} },
  { group: "rcodes", title: "Replies by code", shown: ["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"], words: {} },
  {
    group: "origins",
    title: "Where answers came from",
    shown: ["cache", "fresh", "upstream", "none"],
    words: { cache: "kept ready", fresh: "made afresh", upstream: "from upstreams", none: "refused or failed" },
  },
];

/** What was counted, as it grows. */
export class History {
  #count = 0;
  #steps = [];

  /** Asks for what is new. Raises Failure. */
  async update() {
    const found = await get("/v1/history", { after: this.#count });
    if (found.count < this.#count) {
      // The program has started again, and counts anew.
      this.#count = 0;
      this.#steps = [];
      return this.update();
    }
    const value = (group, at) => Object.fromEntries(Object.entries(found[group]).map(([name, counts]) => [name, counts[at]]));
    found.at.forEach((time, at) => this.#steps.push({
      at: time,
      seconds: found.milliseconds[at] / 1000,
      types: value("types", at),
      rcodes: value("rcodes", at),
      origins: value("origins", at),
    }));
    this.#steps = this.#steps.slice(-STEPS);
    this.#count = found.count;
  }

  get steps() {
    return this.#steps;
  }

  /** Queries per second over the last half a minute. */
  get now() {
    return mean(this.#steps.slice(-LATELY), (step) => total(step.types));
  }
}

const total = (counts) => Object.values(counts).reduce((sum, value) => sum + value, 0);

function mean(steps, value) {
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  return seconds ? steps.reduce((sum, step) => sum + value(step), 0) / seconds : 0;
}

/** All charts of a history. */
export const charts = (history) => CHARTS.map((chart) => drawn(chart, history.steps));

function drawn({ group, title, shown, words }, steps) {
  const others = (step) => total(step[group]) - shown.reduce((sum, name) => sum + (step[group][name] ?? 0), 0);
  const bands = shown.map((name) => ({ name: words[name] ?? name, value: (step) => step[group][name] ?? 0 }));
  if (group !== "origins") bands.push({ name: "others", value: others });
  const top = Math.max(1, ...steps.map((step) => total(step[group]) / step.seconds));
  const legend = bands.map(({ name, value }) => [name, mean(steps.slice(-LATELY), value)]);
  const told = legend.map(([name, now]) => `${name} ${rate(now)}`).join(", ");
  const svg = h("svg", { viewBox: `0 0 ${STEPS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}, each second: ${told}` });
  const bottom = steps.map(() => 0);
  bands.forEach(({ value }, band) => {
    const before = [...bottom];
    steps.forEach((step, at) => { bottom[at] += value(step) / step.seconds; });
    svg.append(area(before, bottom, top, `band b-${group}-${band}`));
  });
  return h("figure", { class: "card" },
    h("figcaption", null, h("h2", null, title), h("span", { class: "quiet" }, `peak ${rate(top === 1 && !steps.some((step) => total(step[group])) ? 0 : top)}/s`)),
    svg,
    h("p", { class: "axis quiet", "aria-hidden": "true" }, h("span", null, "15 min ago"), h("span", null, "now")),
    h("ul", { class: "legend" }, legend.map(([name, now], band) =>
      h("li", null, h("span", { class: `swatch b-${group}-${band}` }), `${name} `, h("strong", null, `${rate(now)}/s`)))));
}

function area(low, high, top, kind) {
  const x = (at) => STEPS - low.length + at;
  const y = (value) => (HEIGHT - (value / top) * (HEIGHT - 1)).toFixed(2);
  // Each step is as wide as it was long.
  const up = high.map((value, at) => `${x(at)},${y(value)}H${x(at) + 1}`);
  const down = low.map((value, at) => `${x(at) + 1},${y(value)}H${x(at)}`).reverse();
  return h("path", { class: kind, d: low.length ? `M${up.join("L")}L${down.join("L")}Z` : "" });
}
