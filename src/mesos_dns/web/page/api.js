// Asking this server, and nobody else.

/** What went wrong; `status` is that of HTTP, 0 if nobody answered. */
export class Failure extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

let token = sessionStorage.getItem("token") ?? "";

/** Keeps the token for as long as this tab is open; it goes nowhere but to this server. */
export function useToken(text) {
  token = text;
  if (text) sessionStorage.setItem("token", text);
  else sessionStorage.removeItem("token");
}

/** The response to a GET. Raises Failure. */
export async function ask(path, parameters = {}, { signal, trusted = false } = {}) {
  const query = new URLSearchParams(parameters);
  let response;
  try {
    response = await fetch(`${path}${query.size ? `?${query}` : ""}`, {
      signal,
      cache: "no-store",
      headers: { Accept: "application/json", ...(trusted && token ? { Authorization: `Bearer ${token}` } : {}) },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "no answer");
  }
  if (!response.ok) throw new Failure(response.status, await reason(response));
  return response;
}

/** The JSON of the response to a GET. Raises Failure. */
export const get = async (path, parameters, more) => (await ask(path, parameters, more)).json();

/** The same of what lists names, which the configuration may have turned off: then a Failure with status 404, without asking. */
export async function list(path, parameters, more) {
  if (!(await configuration()).EnumerationOn) throw new Failure(404, "EnumerationOn is off");
  return get(path, parameters, more);
}

async function reason(response) {
  const text = await response.text();
  if (response.headers.get("Content-Type")?.startsWith("application/json")) return JSON.parse(text).reason ?? text;
  return text.replace(/^\d+: /, "");
}

let config;

/** The effective configuration, asked for once. */
export function configuration() {
  config ??= get("/v1/config").catch((error) => { config = undefined; throw error; });
  return config;
}
