// "Is it in the log?" and "does one checkpoint continue another?": found by the log, verified here.

import { byId, drawn, element, outcome } from "./dom.js";
import * as log from "./log.js";
import { DoesNotHold } from "./verifier.js";
import { bytes, count, number, sentence } from "./words.js";

/** An entry that is longer is not in any log. */
const LONGEST = 65_535;

/** Looks up what was pasted, or the bytes of a file. */
export async function lookUp(sought, believed, trust, state) {
  const place = byId("found");
  outcome(place, "wait", "Looking …");
  try {
    const found = await find(sought, believed, trust, state);
    if (found === null) {
      const more = element("p", {}, "The log says that it has no such entry in this checkpoint. That something is missing cannot be proven.");
      outcome(place, "warn", "Not found.", more);
      return;
    }
    await show(place, found, believed, trust, state);
  } catch (error) {
    failed(place, error);
  }
}

/** Index and leaf of what is sought. */
async function find(sought, believed, trust, state) {
  const { verifier } = trust;
  if (sought instanceof Uint8Array) return byLeaf(verifier.leaf(sought), believed, state);
  const text = sought.trim();
  const hash = hashIn(text);
  if (hash !== null) {
    const found = await byLeaf(hash, believed, state);
    if (found !== null) return found;
  }
  const encoder = new TextEncoder();
  // What is copied often has a line end more or less.
  const spellings = new Set([sought, text, `${text}\n`]);
  for (const spelling of spellings) {
    const found = await byLeaf(verifier.leaf(encoder.encode(spelling)), believed, state);
    if (found !== null) return { ...found, typed: true };
  }
  if (/^(0|[1-9][0-9]{0,15})$/.test(text) && Number(text) < believed.size) {
    return { index: Number(text), leaf: null };
  }
  return null;
}

async function byLeaf(leaf, believed, state) {
  if (!state.indexed) throw new Error("this log keeps no index of its leaves; give the index of the entry");
  const index = await log.find(leaf);
  return index === null ? null : { index, leaf };
}

/** A hash in hexadecimal digits or Base 64, in hexadecimal digits. */
function hashIn(text) {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return text.toLowerCase();
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) return null;
  return Array.from(atob(text), (c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}

async function show(place, { index, leaf, typed }, believed, trust, state) {
  if (index >= believed.size) {
    throw new Error(`it has index ${number(index)}, and no checkpoint that was verified here has it yet; try again in a moment`);
  }
  const proof = await log.inclusion(index, believed.size);
  let entry = null;
  if (!typed) {
    entry = await log.entry(index).catch(() => null);
    const own = entry === null ? null : trust.verifier.leaf(entry);
    if (own !== null && leaf !== null && own !== leaf) throw new DoesNotHold(`the log shows another entry at index ${number(index)} than the one with this hash`);
    leaf ??= own ?? proof.leaf;
  }
  const key = trust.key(state.keys[0]);
  const path = trust.verifier.inclusion(believed.note, state.origin, key, index, leaf, proof.siblings ?? []);
  const more = [element("p", {}, `Its path leads to the root of the checkpoint of size ${number(path.size)}, which the log's key signed. Both were verified in this browser.`)];
  if (entry !== null) more.push(preview(entry));
  more.push(drawPath(index, leaf, path), hashes(index, leaf, path));
  outcome(place, "good", `Verified: it is in the log, at index ${number(index)}.`, ...more);
}

function failed(place, error) {
  if (error instanceof DoesNotHold) {
    const more = element("p", {}, "The log answered with something that does not hold. Keep its answer, and do not rely on this log.");
    outcome(place, "bad", `Not verified: ${sentence(error.message)}`, more);
  } else {
    outcome(place, "warn", sentence(error.message));
  }
}

/** An entry as text, or in hexadecimal digits if it is none. */
function preview(entry) {
  const shown = entry.subarray(0, 2000);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(shown.length < entry.length ? shown.subarray(0, lastWhole(shown)) : shown);
    if (/[\u0000-\u0008\u000e-\u001f]/.test(text)) throw new TypeError("control characters");
  } catch {
    text = Array.from(shown.subarray(0, 512), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  }
  const title = `The entry, ${bytes(entry.length)}`;
  return element("details", { open: "" }, element("summary", {}, title), element("pre", { tabindex: "0", "aria-label": title }, text));
}

/** How many bytes of a text that was cut make whole characters. */
function lastWhole(cut) {
  let end = cut.length;
  while (end > 0 && (cut[end - 1] & 0xc0) === 0x80) end -= 1;
  return Math.max(0, end - 1);
}

const ROW = 30;
const MIDDLE = 56;
const ASIDE = 26;

/** The path from the leaf, at the bottom, to the root. Full dots are computed here, hollow ones come from the log. */
function drawPath(index, leaf, { steps }) {
  const rows = steps.length + 1;
  const y = (level) => (rows - level) * ROW + 8;
  const x = (level) => {
    const side = steps[level]?.side ?? "none";
    return side === "none" ? MIDDLE : side === "right" ? MIDDLE - ASIDE : MIDDLE + ASIDE;
  };
  const short = (hash) => `${hash.slice(0, 8)}…`;
  const [edges, nodes] = [[], []];
  const dot = (kind, x, y, r) => drawn("circle", { class: kind, cx: x, cy: y, r });
  const text = (kind, x, y, words) => drawn("text", { class: kind, x, y: y + 4 }, words);
  const line = (kind, from, to) => drawn("line", { class: kind, x1: from[0], y1: from[1], x2: to[0], y2: to[1] });
  nodes.push(text("head", 112, 14, "computed here"), text("head", 216, 14, "from the log"));
  for (let level = 0; level < rows; level += 1) {
    const hash = level === 0 ? leaf : steps[level - 1].node;
    const step = steps[level];
    if (step !== undefined) {
      edges.push(line("way", [x(level), y(level)], [x(level + 1), y(level + 1)]));
      if (step.side !== "none") {
        const other = 2 * MIDDLE - x(level);
        edges.unshift(line("edge", [other, y(level)], [x(level + 1), y(level + 1)]));
        nodes.push(dot("sibling", other, y(level), 5), text("soft", 216, y(level), short(step.sibling)));
      }
    }
    const end = level === 0 || level === rows - 1;
    nodes.push(dot("node", x(level), y(level), end ? 7 : 5), text(end ? "end" : "", 112, y(level), short(hash)));
    if (level === rows - 1) nodes.push(text("head", 216, y(level), rows === 1 ? "leaf and signed root" : "= the signed root"));
  }
  const label = `The path of leaf ${number(index)} up to the root: ${count(steps.length, "level", "levels")}`;
  nodes.push(text("head", 112, y(0) + 22, `leaf ${number(index)}`));
  const svg = drawn("svg", { viewBox: `0 0 320 ${rows * ROW + 46}`, role: "img", "aria-label": label }, ...edges, ...nodes);
  return element("div", { class: "path" }, svg);
}

/** The same as a table, with whole hashes. */
function hashes(index, leaf, { steps }) {
  const row = (...cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
  const code = (hash) => element("code", {}, hash);
  const rows = steps.map(({ side, sibling, node }, level) =>
    row(String(level + 1), side === "none" ? "none" : element("span", {}, `${side} `, code(sibling)), code(node)));
  const head = element("tr", {}, ...["Level", "Sibling", "Hash"].map((title) => element("th", { scope: "col" }, title)));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, row("0", `leaf ${number(index)}`, code(leaf)), ...rows));
  return element("details", {}, element("summary", {}, "All hashes of the path"), element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "All hashes of the path" }, table));
}

/** Verifies that one pasted checkpoint continues another. */
export async function compare(older, newer, trust, state) {
  const place = byId("compared");
  outcome(place, "wait", "Comparing …");
  try {
    const key = trust.key(state.keys[0]);
    let [from, to] = [older, newer].map((note) => trust.verifier.checkpoint(pasted(note), state.origin, key, []));
    const swapped = from.size > to.size;
    if (swapped) [from, to] = [to, from];
    const proof = await log.consistency(from.size, to.size);
    const { from: before, to: after } = trust.verifier.consistency(from.note, to.note, state.origin, key, proof.hashes ?? []);
    const grown = after - before;
    const added = grown === 0 ? "They have the same entries" : `${count(grown, "entry was", "entries were")} added between them, and nothing before was changed`;
    const more = [`${added}. Both are signed by the log's key.`];
    if (swapped) more.push("The first one is the newer.");
    outcome(place, "good", `Verified: size ${number(after)} continues size ${number(before)}.`, element("p", {}, more.join(" ")));
  } catch (error) {
    failed(place, error);
  }
}

/** A note as it was before it was pasted: with one line end behind it. */
function pasted(note) {
  return `${note.replace(/\r\n?/g, "\n").trim()}\n`;
}

export { LONGEST };
