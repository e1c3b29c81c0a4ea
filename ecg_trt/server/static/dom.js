// Elements, made in one call.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !(element instanceof SVGElement) && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make an HTML element: properties, attributes and, as `onclick`, listeners; then its children. */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Make an SVG element. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Show a picture in an SVG; one that is there already is not decoded anew. */
export function showImage(image, url) {
  if (image.getAttribute("href") !== url) image.setAttribute("href", url);
}

export const $ = (selector) => document.querySelector(selector);

/** An icon of the sprite in index.html. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `#i-${name}` }));
}

/** Say something to screen readers, and in the line at the foot of the page. */
export function say(text) {
  $("#status").textContent = text;
}

/** Show an error in words, with its hint, until it is dismissed. */
export function complain(error) {
  const card = h("div", { className: "toast", role: "alert" },
    h("div", {}, h("strong", {}, capital(error.what ?? "Something went wrong")), h("p", {}, sentence(error)),
      error.hint && h("p", { className: "hint" }, error.hint)),
    h("button", { className: "plain", ariaLabel: "Dismiss", onclick: () => card.remove() }, icon("close")));
  $("#toasts").append(card);
  setTimeout(() => card.remove(), 15000);
}

/** "Got .., expected .." of a problem. */
export function sentence(error) {
  return error.got ? `Got ${error.got}; expected ${error.expected}.` : String(error.message ?? error);
}

/** A sentence begins with a capital; the name of a file is left as it is. */
export const capital = (text) => (/^[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text);
