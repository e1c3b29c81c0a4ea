// The photo, with the corners of the page, which can be dragged below a magnifier.

import { s, showImage } from "./dom.js";
import { Viewport } from "./viewport.js";

const NAMES = ["Top left", "Top right", "Bottom right", "Bottom left"];
const SIDES = ["Top", "Right", "Bottom", "Left"];
const LENS_PX = 64;
const LENS_ZOOM = 3;
const AWAY_PX = 92;
const MARGIN = 0.02; // Share of the photo around it, so that handles at its rim are whole.
const INSET = 0.06; // Share of the photo at which corners stand that nobody knows.

export class PhotoPane {
  /** @param onCorners called with the four corners, photo px, when a person has moved them. */
  constructor(svg, onCorners) {
    this.svg = svg;
    this.onCorners = onCorners;
    this.image = s("image", { preserveAspectRatio: "none" });
    this.area = s("path", { class: "area" });
    this.handles = s("g", {});
    this.lensImage = s("image", { preserveAspectRatio: "none", "clip-path": "url(#lens-clip)" });
    this.lens = s("g", { class: "lens", hidden: true }, this.lensImage,
      s("circle", { class: "lens-rim" }), s("path", { class: "lens-cross" }));
    svg.append(
      s("defs", {}, s("clipPath", { id: "lens-clip" }, s("circle", {}))),
      this.image, this.area, this.handles, this.lens);
    this.viewport = new Viewport(svg, (event) => this.pick(event));
    this.corners = null;
  }

  show(url, size, corners) {
    const { width, height } = size;
    const sides = { x: 0, y: 0, width, height };
    this.size = size;
    for (const image of [this.image, this.lensImage]) {
      for (const [name, value] of Object.entries(sides)) image.setAttribute(name, value);
      showImage(image, url);
    }
    this.corners = corners ?? guess(size);
    this.isGuess = !corners;
    this.viewport.setBounds(...around(size, this.corners));
    this.draw();
  }

  clear() {
    this.corners = null;
    for (const image of [this.image, this.lensImage]) image.removeAttribute("href");
    this.area.removeAttribute("d");
    this.handles.replaceChildren();
  }

  draw() {
    const { width, height } = this.size;
    const ring = this.corners.map((point) => point.join(" ")).join(" L ");
    this.area.setAttribute("d", `M 0 0 H ${width} V ${height} H 0 Z M ${ring} Z`);
    this.area.classList.toggle("is-guess", this.isGuess);
    if (!this.handles.childElementCount) this.addHandles();
    const [edges, corners] = this.handles.children;
    for (let k = 0; k < 4; k++) {
      const [[ax, ay], [bx, by]] = [this.corners[k], this.corners[(k + 1) % 4]];
      place(edges.children[k], (ax + bx) / 2, (ay + by) / 2);
      place(corners.children[k], ax, ay);
      const where = `${Math.round(ax)}, ${Math.round(ay)}`;
      corners.children[k].setAttribute("aria-label", `${NAMES[k]} corner at ${where}. Arrow keys move it.`);
    }
  }

  addHandles() {
    const handle = (kind, k, label) => s("g",
      { class: `handle ${kind}`, tabindex: 0, role: "button", "aria-label": label, "data-kind": kind, "data-k": k,
        onkeydown: (event) => this.key(event, kind, k), onblur: () => this.finishKeys() },
      s("circle", { class: "reach" }), s("circle", { class: "dot" }));
    this.handles.replaceChildren(
      s("g", {}, SIDES.map((side, k) => handle("edge", k, `${side} edge. Arrow keys move it.`))),
      s("g", {}, NAMES.map((name, k) => handle("corner", k, `${name} corner`))));
  }

  pick(event) {
    const target = event.target.closest(".handle");
    if (!target || !this.corners) return null;
    const k = Number(target.dataset.k);
    const before = this.corners.map((corner) => [...corner]);
    const moves = target.dataset.kind === "corner" ? [k] : [k, (k + 1) % 4];
    const start = this.viewport.at(event);
    target.focus({ preventScroll: true });
    return {
      move: (point) => {
        for (const at of moves) {
          this.corners[at] = this.inside(before[at][0] + point.x - start.x, before[at][1] + point.y - start.y);
        }
        this.draw();
        if (moves.length === 1) this.magnify(...this.corners[k]);
      },
      end: (_, isClick) => {
        this.lens.setAttribute("hidden", "");
        if (!isClick) this.commit();
      },
      cancel: () => {
        this.lens.setAttribute("hidden", "");
        this.corners = before;
        this.draw();
      },
    };
  }

  key(event, kind, k) {
    const step = event.shiftKey ? 10 : 1;
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[
      event.key] ?? [0, 0];
    if (!dx && !dy) {
      if (event.key === "Enter") this.finishKeys();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    for (const at of kind === "corner" ? [k] : [k, (k + 1) % 4]) {
      this.corners[at] = this.inside(this.corners[at][0] + dx, this.corners[at][1] + dy);
    }
    this.draw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.finishKeys(), 700);
  }

  finishKeys() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.commit();
  }

  commit() {
    this.isGuess = false;
    this.draw();
    this.onCorners(this.corners.map(([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10]));
  }

  /** Corners may lie a little outside of the photo, where a page is cut off. */
  inside(x, y) {
    const keep = (value, most) => Math.min(Math.max(value, -0.2 * most), 1.2 * most);
    return [keep(x, this.size.width), keep(y, this.size.height)];
  }

  /** Show what lies below a corner, beside it, where the finger does not hide it. */
  magnify(x, y) {
    const unit = this.viewport.unit;
    const { x: left, y: top, width } = this.svg.viewBox.baseVal;
    const [dx, dy] = [x - left < 2 * AWAY_PX * unit ? 1 : -1, y - top < 2 * AWAY_PX * unit ? 1 : -1];
    const cx = x + dx * AWAY_PX * unit * (width < 400 * unit ? 0.8 : 1);
    const cy = y + dy * AWAY_PX * unit;
    const [radius, zoom] = [LENS_PX * unit, LENS_ZOOM];
    this.lens.removeAttribute("hidden");
    this.lensImage.setAttribute("transform", `translate(${cx} ${cy}) scale(${zoom}) translate(${-x} ${-y})`);
    const clip = this.svg.querySelector("#lens-clip circle");
    for (const [name, value] of Object.entries({ cx: x, cy: y, r: radius / zoom })) clip.setAttribute(name, value);
    const [, rim, cross] = this.lens.children;
    for (const [name, value] of Object.entries({ cx, cy, r: radius })) rim.setAttribute(name, value);
    const arm = radius / 3;
    cross.setAttribute("d", `M ${cx - arm} ${cy} H ${cx + arm} M ${cx} ${cy - arm} V ${cy + arm}`);
  }
}

/** Extent of the photo and of the corners, some of which may lie beside it. */
function around({ width, height }, corners) {
  const range = (k, most) => {
    const places = corners.map((corner) => corner[k]);
    return [Math.min(0, ...places) - MARGIN * most, Math.max(most, ...places) + MARGIN * most];
  };
  const [[x0, x1], [y0, y1]] = [range(0, width), range(1, height)];
  return [x0, y0, x1 - x0, y1 - y0];
}

function guess({ width, height }) {
  const [x, y] = [INSET * width, INSET * height];
  return [[x, y], [width - x, y], [width - x, height - y], [x, height - y]];
}

function place(handle, x, y) {
  for (const circle of handle.children) {
    circle.setAttribute("cx", x);
    circle.setAttribute("cy", y);
  }
}
