// A picture that can be zoomed and panned: an SVG whose view box moves over its content.

const MOST = 40; // Times that it can be magnified beyond the whole.
const SLACK = 4; // Pixels that a pointer may move within a click.

export class Viewport {
  /**
   * @param svg its content is in any unit; `--u` holds how many of these a screen pixel is.
   * @param pick called with (event, point) when a pointer goes down; returns what it drags, an object with
   *   move(point), end(point) and cancel(), or null for the paper itself.
   */
  constructor(svg, pick = () => null) {
    this.svg = svg;
    this.pick = pick;
    this.bounds = { x: 0, y: 0, width: 1, height: 1 };
    this.pointers = new Map();
    this.drag = null;
    svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) svg.addEventListener(type, (event) => this.up(event));
    svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.apply()).observe(svg);
    this.fit();
  }

  /** Set the extent of the content; the view goes to all of it if that has changed. */
  setBounds(x, y, width, height) {
    const old = this.bounds;
    this.bounds = { x, y, width, height };
    if ([x - old.x, y - old.y, width - old.width, height - old.height].some((d) => Math.abs(d) > 0.5)) this.fit();
  }

  fit() {
    const { x, y, width, height } = this.bounds;
    this.scale = 1;
    this.centre = { x: x + width / 2, y: y + height / 2 };
    this.apply();
  }

  /** Units of the content in a screen pixel. */
  get unit() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width || !height) return 1;
    return Math.max(this.bounds.width / width, this.bounds.height / height) / this.scale;
  }

  apply() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width || !height) return;
    const unit = this.unit;
    const [w, hgt] = [width * unit, height * unit];
    const keep = (centre, size, low, extent) =>
      size >= extent ? low + extent / 2 : Math.min(Math.max(centre, low + size / 2), low + extent - size / 2);
    this.centre.x = keep(this.centre.x, w, this.bounds.x, this.bounds.width);
    this.centre.y = keep(this.centre.y, hgt, this.bounds.y, this.bounds.height);
    this.svg.setAttribute("viewBox", `${this.centre.x - w / 2} ${this.centre.y - hgt / 2} ${w} ${hgt}`);
    this.svg.style.setProperty("--u", unit);
  }

  /** Point of the content below a pointer. */
  at({ clientX, clientY }) {
    const box = this.svg.getBoundingClientRect();
    const unit = this.unit;
    return {
      x: this.centre.x + (clientX - box.x - box.width / 2) * unit,
      y: this.centre.y + (clientY - box.y - box.height / 2) * unit,
    };
  }

  /** Zoom, so that what lies below a pointer (or in the middle) stays there. */
  zoom(factor, pointer = null) {
    const before = pointer ? this.at(pointer) : null;
    this.scale = Math.min(Math.max(this.scale * factor, 1), MOST);
    if (before) {
      const after = this.at(pointer);
      this.centre.x += before.x - after.x;
      this.centre.y += before.y - after.y;
    }
    this.apply();
  }

  pan(dx, dy) {
    this.centre.x -= dx * this.unit;
    this.centre.y -= dy * this.unit;
    this.apply();
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0018)), event);
  }

  down(event) {
    if (event.button > 0) return;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.pointers.size > 1) {
      this.drag?.cancel?.();
      this.drag = null;
      return;
    }
    const isButton = event.target.closest("[data-click]");
    this.drag = (isButton ? null : this.pick(event, this.at(event))) ?? this.paper();
    this.started = { x: event.clientX, y: event.clientY };
    if (!this.drag.isPaper) event.preventDefault();
    if (!isButton) this.svg.setPointerCapture(event.pointerId); // A button that is captured would not be clicked.
  }

  paper() {
    this.svg.classList.add("is-panned");
    const stop = () => this.svg.classList.remove("is-panned");
    return { isPaper: true, move: (_, dx, dy) => this.pan(dx, dy), end: stop, cancel: stop };
  }

  move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    if (this.distance(event) > SLACK) this.svg.setPointerCapture(event.pointerId);
    if (this.pointers.size === 2) this.pinch(event, last, dx, dy);
    else this.drag?.move(this.at(event), dx, dy);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  pinch(event, last, dx, dy) {
    const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    const spread = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    const now = { x: event.clientX, y: event.clientY };
    this.zoom(spread(now) / spread(last), { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 });
    this.pan(dx / 2, dy / 2);
  }

  /** Pixels that a pointer has moved since it went down. */
  distance(event) {
    return Math.hypot(event.clientX - this.started.x, event.clientY - this.started.y);
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    const moved = this.distance(event);
    if (event.type === "pointercancel") drag.cancel?.();
    else drag.end?.(this.at(event), moved < SLACK);
  }

  key(event) {
    if (event.key === "Escape" && this.drag) {
      this.drag.cancel?.();
      this.drag = null;
    }
    if (event.target !== this.svg || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60;
    const actions = {
      "+": () => this.zoom(1.3), "=": () => this.zoom(1.3), "-": () => this.zoom(1 / 1.3), 0: () => this.fit(),
      ArrowLeft: () => this.pan(step, 0), ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step), ArrowDown: () => this.pan(0, -step),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }
}
