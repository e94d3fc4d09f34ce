// Elements. Text from the log is only ever set as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a string is text. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An element of a drawing. */
export function drawn(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Sets the text of an element, unless it has that already: a selection in it stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows how something went, and more about it. */
export function outcome(place, state, words, ...more) {
  place.dataset.state = state;
  place.hidden = false;
  place.replaceChildren(element("p", { class: "outcome" }, words), ...more);
}
