// What the scripts of all pages share: events as the service takes them, sending them, and telling the reader. Draws no page.

const page = document.body.dataset;
export const dataset = page.dataset;
export const annotator = page.annotator;

// The service's clock, as far as this page knows it: a browser whose own clock is wrong would date its events into the future.
// This page was written just before its first byte came; scripts may take long to follow.
const ahead = Number(page.now) - performance.timeOrigin - performance.getEntriesByType("navigation")[0].responseStart;
export const clock = () => Date.now() + ahead;
let last = 0;

/** A new event of this reader on this page's dataset; `fields` say what it is about and what is said. Each is later than the one before. */
export function newEvent(fields) {
  last = Math.max(last + 1, clock());
  return { event_id: crypto.randomUUID(), dataset, annotator, occurred_at: new Date(last).toISOString(), ...fields };
}

/** A refusal by the service, as its problem+json says it; status 0 where it was not reached at all. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the service answered ${status}`);
    this.status = status;
    this.fix = problem.fix;
    this.field = problem.field;
  }
  /** Whether the same request may succeed later, as it is. */
  get isPassing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
  get isSignedOut() {
    return this.status === 401 || (this.status === 403 && this.field === "X-CSRF-Token");
  }
}

/** The JSON that the service answers. Refused for everything but success, with status 0 where something in between has answered. */
export async function call(path, body) {
  const asked = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, {
      ...asked,
      headers: { "Content-Type": "application/json", "X-CSRF-Token": page.csrf, Accept: "application/json" },
      signal: AbortSignal.timeout(15_000),
    });
  } catch {
    throw new Refused(0, { detail: "the service cannot be reached" });
  }
  const kind = answer.ok ? "application/json" : "application/problem+json"; // a proxy's own page is neither a yes nor a no
  const told = answer.headers.get("Content-Type")?.startsWith(kind) ? await answer.json().catch(() => null) : null;
  if (told === null) throw new Refused(0, { detail: "something else than the service has answered" });
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

/** Send one event or a list of at most 1,000: durable once this resolves. The same again changes nothing. */
export const send = (events) => call("/v1/feedback", events);

/** Where to sign in and come back to this page. */
export const signInPath = () => `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;

/** Tell the reader something, by eye and by ear; it goes after a while. */
export function tell(text, kind = "") {
  const told = document.createElement("p");
  told.textContent = text;
  told.className = kind;
  document.getElementById("told").replaceChildren(told);
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => told.remove(), kind === "bad" ? 12_000 : 4_000);
}
