// Who asks what, as it happens: for the machine itself, or whoever has the token.

import { ask, get, useToken } from "./api.js";
import { clock, h } from "./dom.js";

const MOST = 50;

/** The panel about clients. It is there only if the server has a log of queries. */
export class Clients {
  element = h("section", { class: "card", hidden: true });
  #body = h("div", { class: "stack" });
  #rows = h("tbody");
  #button = h("button", { type: "button", onclick: () => this.#toggle() }, "Watch for 5 minutes");
  #said = h("p", { role: "status", class: "quiet" });
  #under = null;
  #begun = false;

  /** Begins when the status says that there is such a log. */
  async start(status) {
    if (this.#begun || !("query_log" in status)) return;
    this.#begun = true;
    await this.#begin();
  }

  async #begin() {
    this.element.replaceChildren(h("h2", null, "Who asks what"), this.#body);
    try {
      await get("/v1/querylog", {}, { trusted: true });
    } catch (error) {
      if (error.status === 403) this.#askForToken(error.message);
      return;
    }
    this.element.hidden = false;
    this.#body.replaceChildren(h("div", { class: "head" }, this.#said, this.#button), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Questions" },
      h("table", null, h("caption", { class: "hidden" }, "Questions, the newest first"),
        h("thead", null, h("tr", null, ["Time", "Client", "Question", "Reply", "Answers", "Over"].map((head) => h("th", { scope: "col" }, head)))), this.#rows)));
  }

  stop() {
    this.#under?.abort();
    this.#under = null;
  }

  #askForToken(why) {
    const input = h("input", { id: "token", type: "password", autocomplete: "off", required: true, minlength: "16" });
    const form = h("form", { class: "token", onsubmit: (event) => {
      event.preventDefault();
      useToken(input.value.trim());
      this.#begin();
    } }, h("label", { for: "token" }, "Token of HttpTokenFile"), input, h("button", { type: "submit" }, "Show"));
    this.element.hidden = false;
    this.#body.replaceChildren(h("p", null, why), form, h("p", { class: "quiet" }, "It stays in this tab, and is forgotten when the tab closes."));
  }

  async #toggle() {
    if (this.#under) {
      this.stop();
      return;
    }
    const under = this.#under = new AbortController();
    this.#button.textContent = "Stop";
    this.#said.textContent = "Watching; DNS is answered as ever.";
    try {
      const response = await ask("/v1/queries", { for: "5m" }, { signal: under.signal, trusted: true });
      await this.#read(response.body.pipeThrough(new TextDecoderStream()).getReader());
      this.#said.textContent = "The time is over.";
    } catch (error) {
      this.#said.textContent = error.name === "AbortError" ? "Stopped." : error.message;
    }
    if (this.#under === under) this.#under = null;
    this.#button.textContent = "Watch for 5 minutes";
  }

  async #read(reader) {
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      const rows = lines.filter(Boolean).slice(-MOST).map((line) => row(JSON.parse(line)));
      this.#rows.prepend(...rows.reverse());
      while (this.#rows.children.length > MOST) this.#rows.lastElementChild.remove();
    }
  }
}

function row(told) {
  const cells = "dropped" in told
    ? ["", "", `${told.dropped} more, not shown`, "", "", ""]
    : [clock(Date.parse(told.time)), told.client ?? "", `${told.name ?? "?"} ${told.type ?? ""}`, told.rcode, told.answer.join(", "), told.transport];
  return h("tr", null, cells.map((cell) => h("td", null, cell)));
}
