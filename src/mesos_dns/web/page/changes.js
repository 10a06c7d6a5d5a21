// What appears in the zones and vanishes, as it happens.

import { list } from "./api.js";
import { clock, count, h, nameLink } from "./dom.js";

const MOST = 40;
// Records of one change that are shown at once.
const FEW = 3;

/** One change as an item of a list. */
export function item(change, { isNew = false } = {}) {
  const because = change.because.join("; ") || "no reason is known";
  const more = change.because_more ? ` and ${change.because_more} more` : "";
  return h("li", { class: isNew ? "new" : null },
    h("time", { datetime: new Date(change.at).toISOString() }, clock(change.at)),
    h("div", null, h("p", null, because, more), records("+", "appeared", change.appeared, change.appeared_more), records("−", "vanished", change.vanished, change.vanished_more)));
}

function records(sign, word, found, more) {
  const rest = found.length + more - FEW;
  if (!found.length && !more) return null;
  return h("ul", { class: `records ${word}`, "aria-label": word },
    found.slice(0, FEW).map((each) => h("li", null, h("span", { "aria-hidden": "true" }, sign), " ", nameLink(each.name), ` ${each.rtype} ${each.rdata}`)),
    rest > 0 && h("li", { class: "quiet" }, `${sign} ${count(found.length ? rest : more, found.length ? "more record" : "record")}`));
}

/** A list of the newest changes that goes on by itself until `stop`. */
export class Changes {
  #list = h("ol", { class: "changes" });
  #state = h("p", { class: "quiet" }, "Asking …");
  #pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggle() }, "Pause");
  #source = null;
  #serial = null;
  #waiting = null;

  constructor() {
    this.element = h("section", { class: "card" },
      h("div", { class: "head" }, h("h2", null, "Recent changes"), this.#pause), this.#state, this.#list);
  }

  async start() {
    let found;
    try {
      found = await list("/v1/changes", { limit: MOST });
    } catch (error) {
      this.#pause.hidden = true;
      this.#say(error.status === 404 ? "Changes are not shown: EnumerationOn is off." : `Changes cannot be had: ${error.message}`);
      return;
    }
    this.#list.replaceChildren(...found.changes.map((change) => item(change)).reverse());
    this.#say(found.changes.length ? "" : "Nothing has changed yet.");
    this.#serial = found.serial;
    this.wake();
  }

  /** Goes on to tell what happens. While nobody looks it rests: a browser has six connections to a server for all of its tabs. */
  wake() {
    if (this.#source || this.#serial === null || document.hidden) return;
    this.#source = new EventSource(`/v1/changes?since=${this.#serial}`);
    this.#source.addEventListener("change", (event) => this.#add(JSON.parse(event.data)));
    this.#source.addEventListener("gap", () => this.#list.prepend(h("li", { class: "quiet" }, "Some changes are not known any more.")));
    this.#source.addEventListener("error", () => { if (this.#source?.readyState === EventSource.CLOSED) this.#say("No longer live: reload the page."); });
  }

  rest() {
    this.#source?.close();
    this.#source = null;
  }

  stop() {
    this.rest();
    this.#serial = null;
  }

  #say(text) {
    this.#state.textContent = text;
    this.#state.hidden = !text;
  }

  #toggle() {
    const paused = this.#waiting;
    this.#waiting = paused ? null : [];
    this.#pause.setAttribute("aria-pressed", String(!paused));
    this.#pause.textContent = paused ? "Pause" : "Go on";
    paused?.forEach((change) => this.#add(change));
  }

  #add(change) {
    this.#serial = change.serial;
    if (this.#waiting) {
      this.#waiting = [...this.#waiting, change].slice(-MOST);
      this.#pause.textContent = `Go on (${this.#waiting.length} new)`;
      return;
    }
    this.#say("");
    this.#list.prepend(item(change, { isNew: true }));
    while (this.#list.children.length > MOST) this.#list.lastElementChild.remove();
  }
}
