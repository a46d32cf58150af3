// The labelling page: one item at a time, a key an answer. What is answered goes to the outbox first, and on to the next item at once.
import { annotator, call, clock, dataset, newEvent, tell } from "./site.js";
import { Outbox, tellOutage } from "./outbox.js";

const AHEAD = 12; // items in this tab: the next one is always here already
const HELD_AT_MOST = 20; // with those that came back by undo: the service lets a tab name no more
const UNDOABLE = 20;
const PAUSE_MS = 700; // longer than it takes to press a key that one has begun to press
const LOOK_AGAIN_MS = 20_000; // progress, and leases that would lapse
const at = (id) => document.getElementById(id);
const itemPanel = at("item");
const answerButtons = [...document.querySelectorAll("[data-label]")];
const labelOfKey = new Map(answerButtons.map((button) => [button.dataset.key, button.dataset.label]));
const nameOfLabel = new Map(answerButtons.map((button) => [button.dataset.label, button.dataset.name]));

// A tab of its own holds items of its own. A reload is the same tab; a duplicate, which copies the storage, finds no name there.
const tab = sessionStorage.tab ?? crypto.randomUUID();
addEventListener("pageshow", () => sessionStorage.removeItem("tab"));
addEventListener("pagehide", () => (sessionStorage.tab = tab));

const state = {
  tasks: [], // the first one is shown
  done: [], // { task, kind, label, reason }, the last one said last, at most UNDOABLE
  back: 0, // how far back we look: 0 is the present item, 1 the last answered one
  isRevealed: false,
  isAskDue: false,
  pause: 0, // a timer, until which no answer counts
  seen: null, // what the service said last
  today: 0, // yours, as the service counted them, and what was answered since
  open: 0, // likewise
  shownAt: performance.now(),
};
const guessSeen = new Set(); // ids of items: what was seen once stays seen, after an undo as well
const outbox = new Outbox({ dataset, annotator, changed: showConnection, ask: askIfDue });

// ---- what is on the page ----

const current = () => (state.back ? state.done.at(-state.back).task : state.tasks[0]);

function show() {
  const task = current();
  state.isRevealed = false;
  state.shownAt = performance.now();
  for (const part of ["answers", "tools"]) at(part).hidden = !task && !state.done.length;
  if (task) {
    itemPanel.innerHTML = task.markup; // rendered and escaped by the service
    itemPanel.dataset.item = task.item_id;
  } else {
    showEnd();
  }
  itemPanel.scrollTop = 0;
  showAnswer();
  showRevealed();
  showProgress();
}

function showAnswer() {
  const answered = state.back ? state.done.at(-state.back) : null;
  for (const button of answerButtons) {
    button.disabled = !current() || Boolean(state.pause);
    if (answered) button.setAttribute("aria-pressed", String(button.dataset.label === answered.label));
    else button.removeAttribute("aria-pressed");
  }
  at("looking-back").hidden = !answered;
  if (answered) {
    at("looking-back").textContent = `${state.back} back: you said ${said(answered)}. Another answer replaces it; Esc returns.`;
  }
  at("skip").disabled = at("reveal").disabled = !current();
  at("undo").disabled = !state.done.length;
  at("previous").disabled = state.back >= state.done.length;
}

const said = ({ kind, label, reason }) => (kind === "skip" ? `skip (${reason})` : nameOfLabel.get(label));

function revealedOf(task) {
  const told = Object.entries(task.hidden).map(([name, value]) => `${name}: ${value}`);
  if (task.guess) told.unshift(`the model guesses ${nameOfLabel.get(task.guess) ?? task.guess}, ${Math.round(100 * task.confidence)}% sure`);
  return told;
}

function showRevealed() {
  at("revealed").hidden = !state.isRevealed;
  at("reveal").setAttribute("aria-pressed", String(state.isRevealed));
  at("revealed").replaceChildren(
    ...(state.isRevealed && current() ? revealedOf(current()) : []).map((text) => {
      const chip = document.createElement("span");
      chip.className = "chip warn";
      chip.textContent = text;
      return chip;
    }),
  );
}

function showEnd() {
  delete itemPanel.dataset.item;
  const [title, text] = endOf(state.seen?.standing);
  const end = document.createElement("div");
  const heading = document.createElement("h2");
  const told = document.createElement("p");
  end.className = "end";
  heading.textContent = title;
  told.textContent = text;
  end.append(heading, told);
  itemPanel.replaceChildren(end);
}

function endOf(standing) {
  if (!standing || state.open > 0) return outbox.isCut ? ["No connection", "Items come as soon as the service can be reached."] : ["Looking for items …", ""];
  if (standing.queue === null) {
    return ["There is no queue yet", `The first run makes it: uv run curation run ${dataset}. This page notices by itself.`];
  }
  if (!standing.size) return ["The queue is empty", "Nothing is worth asking just now. It fills again when new data arrives or a model changes."];
  if (standing.leased_to_others) {
    const count = standing.leased_to_others;
    return ["The rest is with others", `${count} ${count === 1 ? "item is" : "items are"} being looked at by somebody else. What they leave comes back here by itself.`];
  }
  const skipped = standing.skipped_by_you ? ` You skipped ${standing.skipped_by_you}; somebody else may know better.` : "";
  return ["Everything is labelled. Thank you!", `The next queue comes with the next run or retrain, and this page notices by itself.${skipped}`];
}

function showProgress() {
  const seen = state.seen;
  if (!seen) return;
  at("today").textContent = state.today.toLocaleString();
  at("open").textContent = Math.max(0, state.open).toLocaleString();
  const sensor = seen.sensor;
  const hasCount = sensor?.effective != null;
  at("to-retrain").textContent = hasCount ? Math.max(0, sensor.threshold - sensor.effective).toLocaleString() : "–";
  at("retrain").max = hasCount ? sensor.threshold : seen.retrain_after;
  at("retrain").value = hasCount ? Math.min(sensor.effective, sensor.threshold) : 0;
  at("sensor").textContent = sensor
    ? `The sensor ${ago(sensor.at)}: ${sensor.message}.`
    : "The sensor has not looked yet: start it with uv run curation up.";
}

function ago(at) {
  const seconds = Math.max(0, Math.round((clock() - new Date(at)) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

function showConnection() {
  const { waiting, refused, strangers } = outbox;
  at("waiting").textContent = [
    refused ? `${refused} ${refused === 1 ? "answer was refused and is" : "answers were refused and are"} kept in this browser.` : "",
    waiting ? `${waiting === 1 ? "1 answer waits" : `${waiting} answers wait`} in this browser for the service.` : `${refused ? "All else" : "Everything you answered"} is safely with the service.`,
    strangers.length ? `Answers of ${strangers.join(", ")} wait here too: they go when that name signs in.` : "",
  ].join(" ");
  tellOutage(at("connection"), outbox);
  if (!current()) showEnd();
}

// ---- what the reader does ----

function answer(kind, { label, reason } = {}) {
  const task = current();
  if (!task || state.pause) return;
  const context = {
    queue: task.queue,
    reason: task.reason,
    guess_seen: guessSeen.has(task.item_id),
    seconds: Math.round((performance.now() - state.shownAt) / 100) / 10,
  };
  const what = kind === "label" && label === "spam" ? "spam" : kind;
  const fields = { item_id: task.item_id, kind: what, source: "label-page", context };
  if (task.prediction_id) fields.prediction_id = task.prediction_id;
  if (what === "label") fields.label = label;
  if (reason) fields.reason = reason;
  outbox.put(newEvent(fields));
  const given = { task, kind, label, reason };
  if (state.back) {
    count(+1, ...state.done.splice(-state.back, 1));
    state.back = 0;
  } else {
    state.tasks.shift();
  }
  state.done = [...state.done, given].slice(-UNDOABLE);
  count(-1, given);
  guessSeen.add(task.item_id);
  at("last").textContent = [`You said ${said(given)}`, ...revealedOf(task)].join(" · ");
  show();
  if (state.tasks.length <= AHEAD / 2) ask();
}

/** One item more is open to me, or one less, as it was answered or skipped. */
function count(change, { kind }) {
  state.open += change;
  if (kind !== "skip") state.today -= change;
}

function undo() {
  const given = state.done.pop();
  if (!given) return;
  state.back = 0;
  const { task } = given;
  const fields = { item_id: task.item_id, kind: "withdraw", source: "label-page", context: { queue: task.queue, reason: task.reason } };
  if (task.prediction_id) fields.prediction_id = task.prediction_id;
  outbox.put(newEvent(fields));
  state.tasks = [task, ...state.tasks.filter((other) => other.item_id !== task.item_id)].slice(0, HELD_AT_MOST);
  count(+1, given);
  at("last").textContent = `Taken back: ${said(given)}`;
  show();
  ask();
}

function lookBack(steps) {
  state.back = Math.max(0, Math.min(state.done.length, state.back + steps));
  show();
}

function reveal() {
  if (!current()) return;
  state.isRevealed = !state.isRevealed;
  guessSeen.add(current().item_id);
  showRevealed();
}

// ---- the next items ----

function ask() {
  state.isAskDue = true;
  outbox.flush();
}

/** Ask where that is due, and tell whether it was. The outbox calls it once all is sent, and sends nothing meanwhile. */
async function askIfDue() {
  if (!state.isAskDue) return false;
  state.isAskDue = false; // it may become due again while this one is under way
  const { today, open } = state;
  const holding = state.tasks.map((task) => task.item_id);
  let seen;
  try {
    seen = await call(`/label/${dataset}/items`, { tab, wanted: AHEAD, holding });
  } catch (error) {
    state.isAskDue = true;
    throw error;
  }
  state.seen = seen;
  state.today += seen.standing.today - today; // and what was said since it was asked
  state.open += seen.standing.open - open;
  take(seen.tasks, holding);
  return true;
}

/** What was held and is not given has gone; what is new comes after the rest. */
function take(tasks, held) {
  const had = current();
  const given = new Set(tasks.map((task) => task.item_id));
  const kept = state.tasks.filter(({ item_id }) => given.has(item_id) || !held.includes(item_id));
  const known = new Set([...held, ...kept.map((task) => task.item_id)]);
  state.tasks = [...kept, ...tasks.filter((task) => !known.has(task.item_id))].slice(0, HELD_AT_MOST);
  if (had && !state.back && state.tasks[0]?.item_id !== had.item_id) {
    tell("That item went elsewhere meanwhile (somebody else, or another tab of yours); here is another one.");
    skipDialog.close();
    clearTimeout(state.pause); // a key that is on its way was meant for the item that has gone
    state.pause = setTimeout(() => {
      state.pause = 0;
      showAnswer();
    }, PAUSE_MS);
  }
  if (!had || current()?.item_id !== had.item_id) show();
  else showProgress();
}

// ---- keys, buttons, time ----

const skipDialog = at("skip-dialog");
const helpDialog = at("help-dialog");
const skipButtons = [...skipDialog.querySelectorAll("[data-reason]")];
const openSkip = () => current() && skipDialog.showModal();

const actions = {
  s: openSkip,
  u: undo,
  p: () => lookBack(+1),
  g: reveal,
  h: () => helpDialog.showModal(),
  "?": () => helpDialog.showModal(),
  Escape: () => state.back && lookBack(-UNDOABLE),
};

document.addEventListener("keydown", (press) => {
  if (press.ctrlKey || press.metaKey || press.altKey || press.repeat || press.target.closest("input, textarea, select")) return;
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  if (skipDialog.open) {
    skipButtons[Number(key) - 1]?.click();
    return;
  }
  if (helpDialog.open) return;
  if (labelOfKey.has(key)) answer("label", { label: labelOfKey.get(key) });
  else if (key in actions) actions[key]();
  else return;
  press.preventDefault();
});
for (const button of answerButtons) button.addEventListener("click", () => answer("label", { label: button.dataset.label }));
for (const button of skipButtons) {
  button.addEventListener("click", () => {
    skipDialog.close();
    answer("skip", { reason: button.dataset.reason });
  });
}
at("skip").addEventListener("click", openSkip);
at("undo").addEventListener("click", undo);
at("previous").addEventListener("click", () => lookBack(+1));
at("reveal").addEventListener("click", reveal);
at("help").addEventListener("click", () => helpDialog.showModal());
setInterval(() => document.hidden || ask(), LOOK_AGAIN_MS);
document.addEventListener("visibilitychange", () => document.hidden || ask());
if (matchMedia("(max-width: 56rem)").matches) document.querySelector(".guidelines").open = false;

showConnection();
ask();
itemPanel.focus();
