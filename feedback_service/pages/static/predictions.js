// The predictions page: good or bad, of one row or many, by key, mouse or touch. What is said goes to the outbox first and shows at once.
import { annotator, dataset, newEvent, tell } from "./site.js";
import { Outbox, tellOutage } from "./outbox.js";

const UNDOABLE = 20;
const TOLD = { agree: "good", disagree: "bad" };
const at = (id) => document.getElementById(id);
const rows = [...document.querySelectorAll("tr.prediction")];
const boxOf = (row) => row.querySelector(".select");
const selected = () => rows.filter((row) => boxOf(row).checked);
const done = []; // of each action its rows, with what was said before: undone together

let current = rows[0];
let lastTicked = null;
const outbox = new Outbox({ dataset, annotator, changed: showConnection });

// ---- what is on the page ----

/** What I say of a row: kind "" for nothing; `vote` is the label it stands for, `told` the word shown. */
const saidOf = ({ dataset: row }) => ({ kind: row.kind, vote: row.vote, told: row.told });

function show(row, said) {
  Object.assign(row.dataset, said);
  for (const button of row.querySelectorAll("[data-judge]")) {
    button.setAttribute("aria-pressed", String(TOLD[button.dataset.judge] === said.told));
  }
  for (const list of row.querySelectorAll("[data-said]")) {
    list.querySelector("[data-mine]")?.remove();
    const isSaidByButton = list.matches(".said-short") && Object.values(TOLD).includes(said.told);
    if (said.told && !isSaidByButton) list.prepend(chip(said.told));
    if (!list.children.length) list.replaceChildren(); // white space is no feedback
  }
}

function chip(told) {
  const mine = document.createElement("li");
  mine.className = `chip ${told === "good" || told === "bad" ? told : ""}`;
  mine.dataset.mine = "";
  mine.textContent = `you: ${told}`;
  return mine;
}

function showConnection() {
  const events = outbox.events();
  const waiting = new Set(events.map((event) => event.prediction_id));
  for (const row of rows) row.classList.toggle("waiting", waiting.has(row.dataset.prediction));
  tellOutage(at("connection"), outbox);
  at("last").dataset.waiting = events.length;
}

function showTools() {
  const count = selected().length;
  for (const row of rows) row.classList.toggle("selected", boxOf(row).checked);
  at("bulk").hidden = !count && !done.length;
  at("bulk-selected").hidden = !count;
  at("undo").hidden = !done.length;
  at("bulk-count").textContent = `${count} selected`;
  if (!rows.length) return;
  const all = at("select-all");
  all.checked = count > 0 && count === rows.length;
  all.indeterminate = count > 0 && count < rows.length;
}

// ---- what the reader does ----

function send(row, kind, together, label) {
  const fields = { prediction_id: row.dataset.prediction, kind, source: "predictions-page", context: { guess_seen: true, together } };
  outbox.put(newEvent(label ? { ...fields, label } : fields));
}

/** Say good (agree) or bad (disagree) of rows, or take back what was said (withdraw), as one action. */
function judge(judged, kind) {
  const told = TOLD[kind] ?? "";
  const changed = judged.filter((row) => row.dataset.told !== told);
  if (!changed.length) return;
  done.push(changed.map((row) => ({ row, before: saidOf(row) })));
  if (done.length > UNDOABLE) done.shift();
  for (const row of changed) {
    show(row, { kind: told && kind, vote: kind === "agree" ? row.dataset.label : "", told });
    send(row, kind, changed.length);
  }
  showTools();
  at("last").textContent = `${told || "taken back"}: ${changed.length}`;
  if (changed.length > 1) tell(`${changed.length} are ${told} now. Press u to undo.`, "good");
}

function undo() {
  const action = done.pop();
  if (!action) {
    tell("There is nothing to undo on this page.");
    return;
  }
  for (const { row, before } of action) {
    show(row, before);
    send(row, ...restoring(row, before, action.length));
  }
  showTools();
  setCurrent(action[0].row);
  tell(action.length === 1 ? "Undone." : `Undone for all ${action.length}.`);
}

/** Kind, number and label of the event that says again what was said before. */
function restoring(row, { kind, vote, told }, together) {
  if (told === TOLD[kind]) return [kind, together];
  if (kind === "spam" || kind === "skip") return [kind, together];
  if (kind === "adjudicate") return [kind, together, vote];
  return vote ? ["label", together, vote] : ["withdraw", together];
}

function judgeByKey(kind) {
  const chosen = selected();
  if (chosen.length) {
    judge(chosen, kind);
    clearSelection();
  } else if (current) {
    judge([current], kind);
    move(+1);
  }
}

function setCurrent(row, { isFocused = true } = {}) {
  current = row;
  for (const other of rows) {
    other.tabIndex = other === row ? 0 : -1;
    other.classList.toggle("current", other === row);
  }
  if (!isFocused) return;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function move(step) {
  if (!rows.length) return;
  const isFresh = !rows.some((row) => row.classList.contains("current"));
  const next = rows.indexOf(current) + (isFresh ? 0 : step);
  setCurrent(rows[Math.max(0, Math.min(rows.length - 1, next))]);
}

function tick(row, isTicked, isRange) {
  const [from, to] = [rows.indexOf(lastTicked ?? row), rows.indexOf(row)].sort((one, other) => one - other);
  for (const between of isRange ? rows.slice(from, to + 1) : [row]) boxOf(between).checked = isTicked;
  lastTicked = row;
  showTools();
}

function clearSelection() {
  const isFromBar = at("bulk-selected").contains(document.activeElement);
  for (const row of rows) boxOf(row).checked = false;
  lastTicked = null;
  showTools();
  if (isFromBar) setCurrent(current); // the button that was pressed is gone, and the focus with it
}

function toggleOpen(row) {
  const opening = row.querySelector(".opening");
  opening.open = !opening.open;
  row.scrollIntoView({ block: "nearest" });
}

// ---- keys, buttons ----

const helpDialog = at("help-dialog");
const actions = {
  j: () => move(+1),
  k: () => move(-1),
  g: () => judgeByKey("agree"),
  b: () => judgeByKey("disagree"),
  u: undo,
  x: () => current && tick(current, !boxOf(current).checked),
  "/": () => at("q")?.focus(),
  "?": () => helpDialog.showModal(),
  Escape: clearSelection,
};
const actionsOnRow = { ArrowDown: actions.j, ArrowUp: actions.k, Enter: () => toggleOpen(current) };

document.addEventListener("keydown", (press) => {
  if (press.ctrlKey || press.metaKey || press.altKey || helpDialog.open) return;
  if (press.target.closest("input:not([type=checkbox]), textarea, select")) return;
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  const does = actions[key] ?? (press.target.matches("tr.prediction") ? actionsOnRow[key] : undefined);
  if (!does || (press.repeat && !"jk".includes(key) && !key.startsWith("Arrow"))) return;
  press.preventDefault();
  does();
});

for (const row of rows) {
  row.addEventListener("focusin", (entered) => row !== current && setCurrent(row, { isFocused: entered.target === row }));
  boxOf(row).addEventListener("click", (click) => tick(row, click.target.checked, click.shiftKey));
  for (const button of row.querySelectorAll("[data-judge]")) {
    button.addEventListener("click", () => {
      judge([row], button.getAttribute("aria-pressed") === "true" ? "withdraw" : button.dataset.judge);
    });
  }
}
for (const button of document.querySelectorAll("[data-bulk]")) button.addEventListener("click", () => judgeByKey(button.dataset.bulk));
at("help")?.addEventListener("click", actions["?"]);
if (at("help")) at("help").hidden = false;
at("undo").addEventListener("click", undo);
at("bulk-clear").addEventListener("click", clearSelection);
at("select-all")?.addEventListener("click", (click) => {
  for (const row of rows) boxOf(row).checked = click.target.checked;
  showTools();
});
document.querySelector("form.filters")?.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value.trim()) formData.delete(name); // the address says what was asked, no more
});

for (const row of rows) show(row, saidOf(row));
for (const { prediction_id, kind, label } of outbox.events()) {
  const row = rows.find((other) => other.dataset.prediction === prediction_id);
  if (row) show(row, { kind: kind === "withdraw" ? "" : kind, vote: label ?? "", told: TOLD[kind] ?? label ?? "" });
}
document.querySelector(".predictions")?.classList.add("scripted");
showTools();
showConnection();
outbox.flush();
