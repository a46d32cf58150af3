// What was answered and is not yet with the service: kept in the browser, sent until it is acknowledged, never dropped in silence.
import { Refused, send, signInPath, tell } from "./site.js";

const AT_ONCE = 200; // events in one request
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;

/** The answers of one annotator on one dataset. All tabs share it: an event sent twice is taken once, by its event_id. */
export class Outbox {
  #prefix;
  #all;
  #changed;
  #ask;
  #wait = FIRST_WAIT_MS;
  #flushing = null;
  #timer = 0;
  #memory = new Map(); // where the browser keeps nothing for us (full, or forbidden)
  #refusedHere = []; // likewise
  isCut = false;
  isSignedOut = false;

  /** `ask`, where given, puts a question to the service once all is sent; it resolves to whether there was one. */
  constructor({ dataset, annotator, changed, ask = async () => false }) {
    this.#all = `curation/outbox/${dataset}/`;
    this.#prefix = `${this.#all}${annotator}/`;
    this.#changed = changed;
    this.#ask = ask;
    addEventListener("online", () => this.flush());
    addEventListener("storage", () => changed());
    addEventListener("beforeunload", (leaving) => this.#memory.size + this.#refusedHere.length && leaving.preventDefault());
  }

  /** Keep an event, then send it. */
  put(event) {
    const key = this.#prefix + event.event_id;
    try {
      localStorage.setItem(key, JSON.stringify(event));
    } catch {
      this.#memory.set(key, event);
    }
    this.#changed();
    this.flush();
  }

  get waiting() {
    return this.events().length;
  }

  /** How many the service will never take; each is kept under its own name, with the reason. */
  get refused() {
    return keys(`refused/${this.#prefix}`).length + this.#refusedHere.length;
  }

  /** Other annotators whose answers wait in this browser. */
  get strangers() {
    const others = keys(this.#all).filter((key) => !key.startsWith(this.#prefix));
    return [...new Set(others.map((key) => key.slice(this.#all.length).split("/")[0]))].sort();
  }

  /** Send what waits, now; resolves when all is sent or it cannot go on. */
  flush() {
    clearTimeout(this.#timer);
    this.#flushing ??= this.#sendAll().finally(() => (this.#flushing = null));
    return this.#flushing;
  }

  #reached() {
    this.isCut = this.isSignedOut = false;
    this.#wait = FIRST_WAIT_MS;
    this.#changed();
    return true;
  }

  /** A request failed: come back later, or once the reader has signed in. Returns whether it may pass by itself. */
  #missed(error) {
    if (!(error instanceof Refused)) throw error;
    if (!(error.isSignedOut || error.isPassing)) return false;
    this.isSignedOut = error.isSignedOut;
    this.isCut = !error.isSignedOut;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
    this.#changed();
    return true;
  }

  /** One request at a time: what the service answers holds for all that was said before, and for nothing said since. */
  async #sendAll() {
    for (let goesOn = true; goesOn; ) {
      const events = this.events().slice(0, AT_ONCE);
      goesOn = await (events.length ? this.#sendSome(events) : this.#askSome());
    }
  }

  async #askSome() {
    try {
      const hasAsked = await this.#ask();
      this.#reached(); // or there is nothing to reach it for: another tab may have sent what waited
      return hasAsked;
    } catch (error) {
      if (!this.#missed(error)) tell(error.message, "bad");
      return false;
    }
  }

  /** Whether it can go on with the next ones. */
  async #sendSome(events) {
    try {
      await send(events);
    } catch (error) {
      if (this.#missed(error)) return false;
      if (events.length === 1) return await this.#settle(events[0], error);
      for (const event of events) {
        if (!(await this.#sendSome([event]))) return false; // a list enters whole or not at all: find the one
      }
      return true;
    }
    for (const event of events) this.#forget(event);
    return this.#reached();
  }

  /** One event that is refused: sent without its time where only that was wrong, as after a clock was set; else set aside. */
  #settle(event, error) {
    const isMisdated = event.occurred_at && error.field?.endsWith("occurred_at");
    return isMisdated ? this.#sendSome([{ ...event, occurred_at: undefined }]) : this.#setAside(event, error);
  }

  #setAside(event, error) {
    const why = [error.message, error.fix].filter(Boolean).join(": ");
    this.#forget(event); // first: the browser may be full
    try {
      localStorage.setItem(`refused/${this.#prefix}${event.event_id}`, JSON.stringify({ ...event, why }));
    } catch {
      this.#refusedHere.push({ ...event, why });
    }
    tell(`An answer was refused: ${why}`, "bad");
    this.#changed();
    return true;
  }

  #forget(event) {
    const key = this.#prefix + event.event_id;
    localStorage.removeItem(key);
    this.#memory.delete(key);
  }

  /** What waits, oldest first. */
  events() {
    const kept = keys(this.#prefix).map((key) => JSON.parse(localStorage.getItem(key)));
    return [...kept, ...this.#memory.values()].filter(Boolean).sort((one, other) => (one.occurred_at < other.occurred_at ? -1 : 1));
  }
}

function keys(prefix) {
  return Object.keys(localStorage).filter((key) => key.startsWith(prefix));
}

/** Say in `told` that answers wait for the service, or were refused, and what to do about it; hide it where all is well. */
export function tellOutage(told, { waiting, isCut, isSignedOut, refused }) {
  const answers = waiting === 1 ? "1 answer waits" : `${waiting} answers wait`;
  told.hidden = !(isCut || isSignedOut || refused);
  if (isSignedOut) {
    const link = document.createElement("a");
    link.href = signInPath();
    link.textContent = "Sign in again";
    told.replaceChildren(`Your session has ended; ${waiting ? `${answers} in this browser` : "nothing is lost"}. `, link);
  } else if (isCut) {
    told.textContent = `No connection to the service. Go on: ${waiting ? `${answers} in this browser` : "what you answer stays in this browser"} until it is back.`;
  } else if (refused) {
    told.textContent = `The service has refused ${refused === 1 ? "an answer" : `${refused} answers`}, kept in this browser. Load the page again to see what the service has.`;
  }
}
