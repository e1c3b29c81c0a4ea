// Requests to the server. The token comes from the address (#token=..) once, and stays in this tab.

const KEY = "ecg-trt-token";
const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) {
  sessionStorage.setItem(KEY, fragment.get("token"));
  history.replaceState(null, "", location.pathname + location.search);
}

let askToken = async () => null;
let asking = null;

/** Set the function that asks the user for a token. */
export function onTokenNeeded(ask) {
  askToken = ask;
}

/** An error that the server explained (RFC 9457). */
export class Problem extends Error {
  constructor(body, status, retryAfter) {
    super(body.detail ?? `The server answered ${status}`);
    Object.assign(this, { what: body.what, got: body.got, expected: body.expected, hint: body.hint, status });
    this.retryAfter = retryAfter;
  }
}

/** Send a request; a JSON body is given as an object, a form as FormData. Returns the response. */
export async function call(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  const isForm = body instanceof FormData;
  if (body && !isForm) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && !isForm ? JSON.stringify(body) : body });
  } catch {
    const what = "The server does not answer";
    throw new Problem({ what, detail: what, hint: "Check that it still runs, then try again." }, 0);
  }
  if (response.ok) return response;
  const problem = new Problem(await response.json().catch(() => ({})), response.status,
    Number(response.headers.get("Retry-After")) || 0);
  if (response.status !== 401) throw problem;
  asking ??= askToken(problem).finally(() => (asking = null));
  const given = await asking;
  if (!given) throw problem;
  sessionStorage.setItem(KEY, given);
  return call(method, path, body);
}

export const getJson = async (path) => (await call("GET", path)).json();
export const getBlob = async (path) => (await call("GET", path)).blob();
export const sendJson = async (method, path, body) => (await call(method, path, body)).json();
