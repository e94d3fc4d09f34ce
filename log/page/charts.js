// The charts of the last ten minutes: bars of five seconds each, and bands where the store worked.

import { byId, drawn, element, say } from "./dom.js";
import { bytes, latency, rough } from "./words.js";

const SECONDS = 600;
const STEP = 5;
const HEIGHT = 100;

/** What the log told of its seconds and jobs. */
export class History {
  constructor() {
    this.seconds = [];
    this.jobs = [];
    this.now = 0;
  }

  /** The last second that is known. */
  get last() {
    return this.seconds.at(-1)?.[0] ?? null;
  }

  add(told) {
    // The log was started again: it counts from the beginning.
    if (told.now_ms < this.now) this.seconds = [];
    this.now = told.now_ms;
    this.jobs = told.jobs;
    this.seconds.push(...told.seconds);
    const oldest = this.now / 1000 - SECONDS - STEP;
    this.seconds = this.seconds.filter(([at]) => at >= oldest);
  }

  /** Figures of each step, oldest first; null where nothing was added. */
  steps() {
    const end = Math.floor(this.now / 1000 / STEP);
    const steps = new Array(SECONDS / STEP).fill(null);
    for (const [at, entries, requests, p50, p99, longest, waiting] of this.seconds) {
      const place = Math.floor(at / STEP) - (end - steps.length);
      if (place < 0 || place >= steps.length) continue;
      const step = (steps[place] ??= { entries: 0, requests: 0, p50: 0, p99: 0, longest: 0, waiting: 0 });
      // The middle of middles, weighted: near enough for a bar.
      step.p50 = (step.p50 * step.requests + p50 * requests) / (step.requests + requests);
      step.entries += entries;
      step.requests += requests;
      step.p99 = Math.max(step.p99, p99);
      step.longest = Math.max(step.longest, longest);
      step.waiting = Math.max(step.waiting, waiting);
    }
    return steps;
  }
}

/** A frame for a chart: its title, its figures, and where it is drawn. */
function frame(id, title) {
  const figures = element("span", { id: `${id}-figures` });
  const svg = drawn("svg", {
    viewBox: `0 0 ${SECONDS} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-labelledby": `${id}-title ${id}-figures`,
  });
  const caption = element("figcaption", {}, element("strong", { id: `${id}-title` }, title), figures);
  const ends = element("div", { class: "ends", "aria-hidden": "true" }, element("span", {}, "10 min ago"), element("span", {}, "now"));
  byId("charts").append(element("figure", { class: "chart", id }, caption, svg, ends));
  return { svg, figures };
}

const frames = {};

function frameOf(id, title) {
  return (frames[id] ??= frame(id, title));
}

function rectangle(kind, x, y, width, height) {
  return drawn("rect", { class: kind, x: x.toFixed(2), y: y.toFixed(2), width: width.toFixed(2), height: height.toFixed(2) });
}

/** Bands where the store worked, at least three seconds wide so that they are seen. */
function bands(history) {
  const place = (ms) => SECONDS - (history.now - ms) / 1000;
  return history.jobs.map(([kind, from, to]) => {
    const [left, right] = [Math.max(0, place(from)), place(to ?? history.now)];
    return rectangle(`band-${kind}`, Math.min(left, SECONDS - 3), 0, Math.max(right - left, 3), HEIGHT);
  });
}

function draw(id, title, figures, history, shapes) {
  const { svg, figures: place } = frameOf(id, title);
  say(place, figures);
  svg.replaceChildren(...bands(history), ...shapes);
}

/** A bar from the bottom up to `part` of the height, and no thinner than can be seen. */
function bar(kind, place, part) {
  const height = part > 0 ? Math.max(part * HEIGHT, 1.5) : 0;
  return rectangle(kind, place * STEP + 0.5, HEIGHT - height, STEP - 1, height);
}

export function drawAll(history, state) {
  const steps = history.steps();
  const most = (figure) => steps.reduce((most, step) => Math.max(most, step?.[figure] ?? 0), 0);
  const shapes = (make) => steps.flatMap((step, place) => (step === null ? [] : make(step, place)));
  const last = steps.at(-2);

  const entries = most("entries");
  const rates = shapes((step, place) => [bar("bar", place, step.entries / entries)]);
  const now = rough((last?.entries ?? 0) / STEP);
  draw("rate", "Entries added", `${now}/s now, at most ${rough(entries / STEP)}/s`, history, rates);

  const slowest = most("p99");
  const times = shapes((step, place) => {
    const [low, high] = [step.p50 / slowest, step.p99 / slowest];
    return [bar("range", place, high), rectangle("tick", place * STEP + 0.5, HEIGHT - low * HEIGHT, STEP - 1, 2)];
  });
  const middle = steps.filter((step) => step !== null).map((step) => step.p50).sort((a, b) => a - b);
  const told = slowest === 0
    ? "nothing was added"
    : `half within ${latency(Math.round(middle[Math.floor(middle.length / 2)]))}, 99 % within ${latency(slowest)}`;
  draw("latency", "Until an entry is durable and acknowledged", told, history, times);

  const limit = state.backlog.most_bytes;
  const waits = shapes((step, place) => [bar("bar", place, Math.min(1, step.waiting / limit))]);
  const backlog = `at most ${bytes(most("waiting"))} of ${bytes(limit)}`;
  draw("backlog", "Waiting to be inserted", backlog, history, [...waits, drawn("line", { class: "limit", x1: 0, x2: SECONDS, y1: 0.5, y2: 0.5 })]);

  meters(state);
}

function meters(state) {
  const free = state.free_thousandths;
  const rows = free === null ? [] : [["Disk", `${(free / 10).toFixed(1)} % free`, 1 - free / 1000, state.disk_low]];
  byId("meters").replaceChildren(...rows.map(([title, words, part, low]) => {
    const fill = element("div", { class: "fill" });
    fill.style.width = `${(part * 100).toFixed(1)}%`;
    const track = element("div", { class: "track", "aria-hidden": "true" }, fill);
    return element("div", { class: low ? "meter low" : "meter" }, element("strong", {}, title), element("span", { class: "value" }, words), track);
  }));
}
