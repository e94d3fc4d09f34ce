// The page: asks the log how it is, verifies what it answers, and says so in one line.

import { drawAxis } from "./axis.js";
import { drawAll, History } from "./charts.js";
import { byId, element, say } from "./dom.js";
import * as log from "./log.js";
import { compare, LONGEST, lookUp } from "./lookup.js";
import { Trust } from "./trust.js";
import { DoesNotHold, Verifier } from "./verifier.js";
import { bytes, count, duration, moment, number, sentence } from "./words.js";

const PAUSE = 2000;

/** What is known now. */
const page = {
  trust: null,
  /** Why there is no verifier. */
  unable: null,
  state: null,
  /** When the state was asked for. */
  asked: 0,
  believed: null,
  /** The error of the last attempt to believe a checkpoint, or to reach the log. */
  doubt: null,
  silent: null,
  history: new History(),
};

let turn = Promise.resolve();

/** Asks once more, one request after the other: answers that overtake each other would look like a log that goes back. */
function refresh() {
  turn = turn.then(refreshOnce);
  return turn;
}

async function refreshOnce() {
  try {
    const asked = performance.now();
    page.state = await log.state();
    page.asked = asked;
    page.history.add(await log.history(page.history.last));
    page.silent = null;
  } catch (error) {
    page.silent = error;
  }
  if (page.silent === null && page.trust !== null) {
    try {
      page.believed = await page.trust.believe(page.state);
      page.doubt = null;
    } catch (error) {
      page.doubt = error;
    }
  }
  if (page.state !== null) show(page.state);
  verdict();
}

/** How the log is, in words: good, warn or bad, and the line. */
function judged() {
  const { silent, state, doubt, unable, believed } = page;
  if (state === null) return silent === null ? ["wait", "Asking the log …"] : ["bad", `Not reached: ${silent.message}.`];
  if (doubt instanceof DoesNotHold) return ["bad", `Do not rely on this log: ${sentence(doubt.message)}`];
  if (silent !== null) return ["bad", `Not reached: ${silent.message}. What is below is from ${duration(performance.now() - page.asked)} ago.`];
  if (!state.ready) return ["bad", `Not healthy: ${sentence(state.reason)}`];
  if (unable !== null) return ["warn", `Not verified: ${sentence(unable.message)}`];
  if (doubt !== null) return ["warn", `Not verified yet: ${sentence(doubt.message)}`];
  if (state.disk_low) return ["warn", `The disk is nearly full: ${(state.free_thousandths / 10).toFixed(1)} % is free.`];
  const { bytes: waiting, most_bytes: most } = state.backlog;
  if (waiting > 0.8 * most) return ["warn", `Overloaded: ${bytes(waiting)} wait to be inserted, of at most ${bytes(most)}.`];
  const behind = state.behind_ms;
  if (behind !== null && behind > 5000 + 3 * state.interval_ms) return ["warn", `Behind: entries are durable for ${duration(behind)} without a checkpoint.`];
  if (believed === null) return ["wait", "Verifying …"];
  const entries = believed.size === 0 ? "no entries yet" : count(believed.size, "entry", "entries");
  return ["good", `Healthy: ${entries}, the last checkpoint was signed ${age()} ago.`];
}

function age() {
  return duration(page.state.checkpoint.age_ms + performance.now() - page.asked);
}

function verdict() {
  const [state, line] = judged();
  const place = byId("verdict");
  say(byId("verdict-line"), line);
  say(byId("checked"), checked(state));
  // A screen reader hears of a change, and not of every second.
  if (place.dataset.state !== state) say(byId("announced"), line);
  place.dataset.state = state;
  if (page.state?.checkpoint) say(byId("signed"), `${age()} ago`);
}

/** What this browser did to know. */
function checked(state) {
  const { trust, believed } = page;
  if (believed === null || (state !== "good" && state !== "warn") || page.doubt !== null) return "";
  const since = trust.continues;
  const more = since === null ? "" : `, and continues what it saw on ${moment(since)}`;
  return `This browser verified the checkpoint: the log's key signed it${more}.`;
}

function show(state) {
  document.title = `${state.origin} – transparency log`;
  say(byId("origin"), state.origin);
  logs(state);
  checkpoint(state);
  keys(state);
  drawAll(page.history, state);
  drawAxis(state);
}

function logs(state) {
  const place = byId("logs");
  if (state.logs.length < 2 || place.childElementCount > 0) return;
  // Below /NAME/ the others are beside; at the root they are below.
  const root = location.pathname.endsWith(`/${state.name}/`) ? "../" : "";
  for (const name of state.logs) {
    const link = element("a", { href: `${root}${encodeURIComponent(name)}/` }, name);
    if (name === state.name) link.setAttribute("aria-current", "page");
    place.append(link);
  }
  place.hidden = false;
}

const STATES = {
  log: ["good", "the log's key, verified"],
  cosigned: ["good", "cosigned, verified"],
  wrong: ["bad", "wrong"],
  unknown: ["soft", "not verified: this page knows no such key"],
};

function checkpoint(state) {
  const { believed } = page;
  if (state.checkpoint === null) return;
  say(byId("note"), state.checkpoint.note);
  // Figures that were not verified are those of the log alone.
  const verified = believed?.note === state.checkpoint.note;
  say(byId("size"), number(verified ? believed.size : state.checkpoint.size));
  say(byId("root"), verified ? believed.root : state.checkpoint.root);
  if (!verified) {
    byId("signatures").replaceChildren(element("li", { class: "soft" }, "not verified"));
    return;
  }
  byId("signatures").replaceChildren(...believed.signatures.map(({ name, id, state, time }) => {
    const [kind, words] = STATES[state];
    const when = time === null ? "" : `, on ${moment(time)}`;
    return element("li", {}, `${name} `, element("span", { class: "id" }, id), " – ", element("span", { class: kind }, words + when));
  }));
}

function keys(state) {
  if (page.trust === null) return;
  say(byId("vkey"), page.trust.key(state.keys[0]) ?? "none");
  say(byId("trusted"), page.trust.source(state.keys[0]));
}

/** Copies the note, where the browser lets a page do that; else selects it. */
async function copy(event) {
  const button = event.currentTarget;
  try {
    await navigator.clipboard.writeText(byId("note").textContent);
    say(button, "Copied");
  } catch {
    getSelection().selectAllChildren(byId("note"));
    say(button, "Selected");
  }
  setTimeout(() => say(button, "Copy"), 2000);
}

/** Runs `work` when a form is sent, once at a time, if there is something to verify with. */
function onSubmit(form, place, work) {
  let busy = false;
  byId(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    try {
      if (page.unable !== null) throw page.unable;
      if (page.trust === null || page.state === null) throw new Error("the page is not loaded yet; try again in a moment");
      await work();
    } catch (error) {
      const node = byId(place);
      node.hidden = false;
      node.dataset.state = error instanceof DoesNotHold ? "bad" : "warn";
      node.replaceChildren(element("p", { class: "outcome" }, sentence(error.message)));
    } finally {
      busy = false;
    }
  });
}

/** The checkpoint to verify against. */
async function believed() {
  if (page.believed === null && page.doubt === null) await refresh();
  if (page.doubt !== null) throw page.doubt;
  if (page.believed === null) throw page.silent ?? new Error("no checkpoint was verified yet; try again in a moment");
  return page.believed;
}

onSubmit("lookup-form", "found", async () => {
  const file = byId("sought-file").files[0];
  const text = byId("sought").value;
  if (text === "" && file === undefined) throw new Error("paste something first");
  if (text === "" && file.size > LONGEST) throw new Error(`an entry has at most ${number(LONGEST)} bytes, and the file has ${number(file.size)}`);
  const sought = text === "" ? new Uint8Array(await file.arrayBuffer()) : text;
  await lookUp(sought, await believed(), page.trust, page.state);
});

onSubmit("compare-form", "compared", async () => {
  const [older, newer] = [byId("older").value, byId("newer").value];
  if (older.trim() === "") throw new Error("paste the older checkpoint first");
  await compare(older, newer.trim() === "" ? (await believed()).note : newer, page.trust, page.state);
});

byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = byId("key-answer");
  place.hidden = false;
  try {
    if (page.trust === null) throw page.unable ?? new Error("the verifier is not loaded yet");
    page.trust.enter(byId("own-key").value.trim());
    page.believed = null;
    say(place, "From now on this browser trusts this key alone.");
    byId("own-key").value = "";
    await refresh();
  } catch (error) {
    say(place, sentence(error.message));
  }
});

byId("forget").addEventListener("click", async () => {
  page.trust?.forget();
  page.believed = null;
  page.doubt = null;
  byId("key-answer").hidden = false;
  say(byId("key-answer"), "Forgotten. The log is seen as on a first visit.");
  await refresh();
});

byId("copy-note").addEventListener("click", copy);

// From within a text, where Enter makes a line.
for (const form of ["lookup-form", "compare-form"]) {
  byId(form).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId(form).requestSubmit();
  });
}

async function run() {
  try {
    page.trust = new Trust(await Verifier.load());
  } catch (error) {
    page.unable = new Error(`the verifier does not run in this browser: ${error.message}`);
  }
  for (;;) {
    if (document.visibilityState === "visible" || page.state === null) await refresh();
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

setInterval(() => document.visibilityState === "visible" && verdict(), 500);
window.addEventListener("hashchange", () => {
  // Links within the page change the address as well, but give no key.
  if (page.trust?.hasOtherAddress()) page.believed = null;
});
run();
