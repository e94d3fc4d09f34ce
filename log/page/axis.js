// The leaf axis: from the first leaf to the last, what is in which part, in the log, and in memory alone.

import { byId, element } from "./dom.js";
import { count, number } from "./words.js";

export function drawAxis(state) {
  const { parts, hidden_parts: hidden, durable, size } = state;
  const inParts = parts.at(-1)?.[1] ?? 0;
  const pieces = parts.map(([from, to]) => ["part", from, to]);
  if (hidden > 0) pieces.unshift(["part", 0, parts[0][0]]);
  if (durable > inParts) pieces.push(["log", inParts, durable]);
  if (size > durable) pieces.push(["memory", Math.max(durable, inParts), size]);
  if (pieces.length === 0) pieces.push(["none", 0, 0]);

  const bar = element("div", { class: "axis", "aria-hidden": "true" }, ...pieces.map(([kind, from, to]) => {
    const piece = element("div", { class: kind, title: `${number(from)} – ${number(to)}` });
    // To scale, but for pieces that would be too thin to be seen.
    piece.style.flexGrow = String(Math.max(to - from, 1));
    return piece;
  }));
  const ends = element("div", { class: "axis-ends", "aria-hidden": "true" }, element("span", {}, "0"), element("span", {}, number(size)));
  const key = (kind) => element("span", { class: `key ${kind}` });
  const leaves = (n) => count(n, "leaf", "leaves");
  const list = element("ul", { class: "plain axis-list" },
    element("li", {}, key("part"), ` ${leaves(inParts)} in ${count(parts.length + hidden, "part", "parts")} on the disk`),
    element("li", {}, key("log"), ` ${leaves(Math.max(0, durable - inParts))} behind them, durable in the log`),
    element("li", {}, key("memory"), ` ${leaves(Math.max(0, size - durable))} in memory, not durable yet`));
  byId("axis").replaceChildren(bar, ends, list);
}
