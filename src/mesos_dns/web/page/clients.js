// Who asks what, as it happens: for the machine itself, or whoever has the token. Nothing is asked for before somebody wants to look.

import { ask, useToken } from "./api.js";
import { clock, h, nameLink } from "./dom.js";

const MOST = 50;
const START = "Watch for 5 minutes";

export class Clients {
  #rows = h("tbody");
  #table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Questions", hidden: true },
    h("table", null, h("caption", { class: "hidden" }, "Questions, the newest first"),
      h("thead", null, h("tr", null, ["Time", "Client", "Question", "Reply", "Answer", "Over"].map((head) => h("th", { scope: "col" }, head)))), this.#rows));
  #button = h("button", { type: "button", onclick: () => (this.#under ? this.stop() : this.#watch()) }, START);
  #said = h("p", { role: "status", class: "quiet" }, "For this machine itself, or with the token of HttpTokenFile.");
  #token = h("input", { id: "token", type: "password", autocomplete: "off", required: true, minlength: "16" });
  #form = h("form", { class: "token", hidden: true, onsubmit: (event) => this.#logIn(event) },
    h("label", { for: "token" }, "Token"), this.#token, h("button", { type: "submit" }, "Show"),
    h("p", { class: "quiet" }, "It stays in this tab, and is forgotten when the tab closes."));
  #under = null;

  element = h("section", { class: "card", hidden: true },
    h("div", { class: "head" }, h("h2", null, "Who asks what"), this.#button), this.#said, this.#form, this.#table);

  stop() {
    this.#under?.abort();
    this.#under = null;
  }

  #logIn(event) {
    event.preventDefault();
    useToken(this.#token.value.trim());
    this.#watch();
  }

  async #watch() {
    const under = this.#under = new AbortController();
    this.#button.textContent = "Stop";
    this.#form.hidden = true;
    try {
      const response = await ask("/v1/queries", { for: "5m" }, { signal: under.signal, trusted: true });
      this.#table.hidden = false;
      this.#said.textContent = "Watching; nothing of this is kept.";
      await this.#read(response.body.pipeThrough(new TextDecoderStream()).getReader());
      this.#said.textContent = "The time is over.";
    } catch (error) {
      this.#said.textContent = error.name === "AbortError" ? "Stopped." : error.message;
      this.#form.hidden = error.status !== 403;
    }
    if (this.#under === under) this.#under = null;
    this.#button.textContent = START;
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
    ? ["", "", `${told.dropped} that came too fast`, "", "", ""]
    : [clock(Date.parse(told.time)), told.client ?? "", told.name ? [nameLink(told.name), ` ${told.type}`] : "?", told.rcode, told.answer.join(", "), told.transport];
  return h("tr", null, cells.map((cell) => h("td", null, cell)));
}
