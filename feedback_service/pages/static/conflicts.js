// The conflicts page: move between them, decide by key, mouse or touch, undo. A decision goes to the outbox first and shows at once.
import { annotator, dataset, newEvent, tell } from "./site.js";
import { Outbox, tellOutage } from "./outbox.js";

const UNDOABLE = 20;
const at = (id) => document.getElementById(id);
const conflicts = [...document.querySelectorAll(".conflict")];
const buttonsOf = (conflict) => [...conflict.querySelectorAll("[data-decide]")];
const named = new Map(buttonsOf(conflicts[0]).map((button) => [button.dataset.decide, button.dataset.name]));
const labelOfKey = new Map(buttonsOf(conflicts[0]).map((button) => [button.querySelector("kbd").textContent, button.dataset.decide]));
const done = []; // { conflict, before }, oldest first: what I said of it before
const mine = new Map(conflicts.map((conflict) => [conflict, { kind: conflict.dataset.kind, label: conflict.dataset.label }]));
const found = new Map(conflicts.map((conflict) => [conflict, verdictOf(conflict).textContent.trim()])); // as the service told it
const seen = new Set(); // conflicts whose guess was looked at
const shownAt = new Map();

let current = conflicts[0];
const outbox = new Outbox({ dataset, annotator, changed: showConnection });

// ---- what is on the page ----

function verdictOf(conflict) {
  return conflict.querySelector("[data-verdict]");
}

/** Show what I say of a conflict now; what somebody else has decided is shown where I say nothing. */
function show(conflict) {
  const { kind, label } = mine.get(conflict);
  const isMine = kind === "adjudicate";
  const theirs = conflict.dataset.kind === "adjudicate" ? "" : found.get(conflict);
  const verdict = verdictOf(conflict);
  verdict.textContent = isMine ? `Decided: ${named.get(label) ?? label}, by you` : theirs;
  verdict.hidden = !verdict.textContent;
  conflict.classList.toggle("decided", !verdict.hidden);
  for (const button of buttonsOf(conflict)) button.setAttribute("aria-pressed", String(isMine && button.dataset.decide === label));
  const takeBack = conflict.querySelector("[data-take-back]");
  if (takeBack) takeBack.hidden = !isMine;
}

function showConnection() {
  const waiting = new Set(outbox.events().map((event) => event.item_id));
  for (const conflict of conflicts) conflict.classList.toggle("waiting", waiting.has(conflict.dataset.item));
  tellOutage(at("connection"), outbox);
}

function setCurrent(conflict, { isFocused = true } = {}) {
  current = conflict;
  for (const other of conflicts) other.classList.toggle("current", other === conflict);
  if (!shownAt.has(conflict)) shownAt.set(conflict, performance.now());
  if (!isFocused) return;
  conflict.focus({ preventScroll: true });
  conflict.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const isFresh = !conflicts.some((conflict) => conflict.classList.contains("current"));
  const next = conflicts.indexOf(current) + (isFresh ? 0 : step);
  setCurrent(conflicts[Math.max(0, Math.min(conflicts.length - 1, next))]);
}

// ---- what the reader does ----

/** Say something of a conflict: `kind` adjudicate or label with its label, or withdraw. */
function say(conflict, kind, label) {
  const { item, prediction } = conflict.dataset;
  const what = kind === "label" && label === "spam" ? "spam" : kind;
  const seconds = Math.round((performance.now() - (shownAt.get(conflict) ?? performance.now())) / 100) / 10;
  const fields = { item_id: item, kind: what, source: "label-page", context: { reason: "conflict", guess_seen: seen.has(conflict), seconds } };
  if (prediction) fields.prediction_id = prediction;
  if (what === "label" || what === "adjudicate") fields.label = label;
  mine.set(conflict, { kind: kind === "withdraw" ? "" : kind, label: label ?? "" });
  outbox.put(newEvent(fields));
  show(conflict);
  showLater();
}

function remember(conflict) {
  done.push({ conflict, before: mine.get(conflict) });
  if (done.length > UNDOABLE) done.shift();
}

function decide(conflict, label) {
  const { kind, label: former } = mine.get(conflict);
  if (kind !== "adjudicate" || former !== label) {
    remember(conflict);
    say(conflict, "adjudicate", label);
    tell(`Decided: ${named.get(label)}. Press u to undo.`, "good");
  }
  const next = conflicts.slice(conflicts.indexOf(conflict) + 1).find((other) => !other.classList.contains("decided"));
  setCurrent(next ?? conflict);
}

/** A decision taken back: who had voted before votes so again. */
function restore(conflict, { kind, label }) {
  if (kind) say(conflict, kind, label);
  else say(conflict, "withdraw");
}

function takeBack(conflict) {
  const { kind, label } = conflict.dataset;
  remember(conflict);
  restore(conflict, kind === "label" ? { kind, label } : { kind: "", label: "" });
  setCurrent(conflict);
  tell("Taken back.");
}

function undo() {
  const last = done.pop();
  if (!last) {
    tell("There is nothing to undo on this page.");
    return;
  }
  restore(last.conflict, last.before);
  setCurrent(last.conflict);
  tell("Undone.");
}

/** What is decided here leaves the list of open ones, so those that follow move up by as many. */
function showLater() {
  const later = at("later");
  if (!later) return;
  const address = new URL(later.href);
  const isAmongDecided = address.searchParams.has("decided");
  const gone = isAmongDecided ? 0 : conflicts.filter((conflict) => mine.get(conflict).kind === "adjudicate").length;
  address.searchParams.set("from", Number(later.dataset.start) + Number(later.dataset.shown) - gone);
  later.href = address.href;
}

// ---- keys, buttons ----

const actions = { j: () => move(+1), k: () => move(-1), ArrowDown: () => move(+1), ArrowUp: () => move(-1) };
if (labelOfKey.size) actions.u = undo;
for (const [key, label] of labelOfKey) actions[key] = () => decide(current, label); // a label's own key comes first

document.addEventListener("keydown", (press) => {
  if (press.ctrlKey || press.metaKey || press.altKey) return;
  if (press.target.closest("input, textarea, select")) return;
  const isMoving = press.key.startsWith("Arrow");
  if (isMoving && press.target.closest(".conflict-text")) return; // a long text scrolls
  const does = actions[press.key.length === 1 ? press.key.toLowerCase() : press.key];
  if (!does || (press.repeat && !isMoving)) return;
  press.preventDefault();
  does();
});

for (const conflict of conflicts) {
  conflict.addEventListener("focusin", () => conflict !== current && setCurrent(conflict, { isFocused: false }));
  for (const button of buttonsOf(conflict)) button.addEventListener("click", () => decide(conflict, button.dataset.decide));
  conflict.querySelector("[data-take-back]")?.addEventListener("click", () => takeBack(conflict));
  conflict.querySelector(".guess")?.addEventListener("toggle", (opened) => opened.target.open && seen.add(conflict));
}
at("later")?.addEventListener("click", async (click) => {
  if (!outbox.waiting || click.ctrlKey || click.metaKey || click.shiftKey) return;
  click.preventDefault(); // the next page is right only once the service has what was decided on this one
  await outbox.flush();
  location.assign(at("later").href);
});

for (const { item_id, kind, label } of outbox.events()) {
  const conflict = conflicts.find((other) => other.dataset.item === item_id);
  if (conflict) {
    mine.set(conflict, { kind: kind === "adjudicate" || kind === "label" ? kind : "", label: label ?? "" });
    show(conflict);
  }
}
setCurrent(current, { isFocused: false });
showLater();
showConnection();
outbox.flush();
