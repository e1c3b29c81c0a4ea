// The flat page, with what was read drawn over it, and the tools that correct it there.

import { s, showImage } from "./dom.js";
import { Viewport } from "./viewport.js";

const LEAST_STRETCH_MM = 0.8;
const STROKE_STEP_MM = 0.15;
const KEY_STEP_MM = 0.25;

export class FlatPane {
  /**
   * @param on functions that are called when a person corrects: name(row, column, element), zeroLine(row, yMm),
   *   leaveOut(row, [x0, x1]), redraw(row, xs, ys), and remove(kind, index).
   */
  constructor(svg, on) {
    this.svg = svg;
    this.on = on;
    this.tool = "move";
    this.image = s("image", { preserveAspectRatio: "none" });
    this.layers = Object.fromEntries(["grid", "zero", "left", "trace", "bars", "names", "stroke"].map((name) =>
      [name, s("g", { class: `layer ${name}` })]));
    const fine = s("pattern", { id: "grid-1", width: 1, height: 1, patternUnits: "userSpaceOnUse" },
      s("path", { d: "M 1 0 H 0 V 1", class: "grid-fine" }));
    const coarse = s("pattern", { id: "grid-5", width: 5, height: 5, patternUnits: "userSpaceOnUse" },
      s("path", { d: "M 5 0 H 0 V 5", class: "grid-coarse" }));
    const hatch = s("pattern", { id: "hatch", width: 2, height: 2, patternUnits: "userSpaceOnUse",
      patternTransform: "rotate(45)" }, s("path", { d: "M 0 0 V 2", class: "hatch-line" }));
    svg.append(s("defs", {}, fine, coarse, hatch), this.image, ...Object.values(this.layers));
    this.viewport = new Viewport(svg, (event, point) => this.pick(event, point));
    this.drawing = null;
  }

  clear() {
    this.drawing = null;
    this.image.removeAttribute("href");
    for (const layer of Object.values(this.layers)) layer.replaceChildren();
  }

  /**
   * @param drawing of the server; null for none.
   * @param set corrections that a person made.
   */
  show(url, drawing, set) {
    const focused = this.svg.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const rows = drawing.rows.map((row, k) => {
      const zero = set.zero_lines?.find((line) => line.row === k); // It may be ahead of the drawing.
      return zero ? { ...row, zero_y_mm: zero.y_mm } : row;
    });
    this.drawing = { ...drawing, rows };
    this.zeros = rows.map((row) => row.zero_y_mm);
    const { x_mm: x, y_mm: y, width_mm: width, height_mm: height } = drawing.flat;
    for (const [name, value] of Object.entries({ x, y, width, height })) this.image.setAttribute(name, value);
    showImage(this.image, url);
    this.viewport.setBounds(x, y, width, height);
    const sides = { x, y, width, height };
    this.layers.grid.replaceChildren(
      s("rect", { ...sides, fill: "url(#grid-1)", class: "fine" }), s("rect", { ...sides, fill: "url(#grid-5)" }));
    this.layers.zero.replaceChildren(...rows.map((row, k) => this.zeroLine(row, k, set)));
    this.layers.trace.replaceChildren(...rows.flatMap((row) => curves(row)));
    this.layers.bars.replaceChildren(...rows.map((row) => bar(row, x)));
    this.layers.names.replaceChildren(...rows.flatMap((row, k) => row.leads.map((lead, column) =>
      this.name(row, lead, k, column, set))));
    this.layers.left.replaceChildren(...(set.left_out ?? []).map((stretch, k) => this.leftOut(stretch, k)));
    this.layers.stroke.replaceChildren(...(set.redrawn ?? []).map((stretch) => s("path",
      { class: "redrawn", d: line(stretch.x_mm, stretch.y_mm) })));
    if (focused) this.svg.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
  }

  name(row, lead, k, column, set) {
    const isSet = (set.names ?? []).some((name) => name.row === k && name.column === column);
    const quality = lead.quality === null ? "not seen" : lead.quality.toFixed(2);
    const [x, y] = [lead.x_mm[0] + 0.6, row.zero_y_mm - lead.gain_mm_per_mv * 0.8];
    const label = `${lead.lead}, quality ${quality}${isSet ? ", set by you" : ""}. Change the name.`;
    const act = (event) => this.on.name(k, column, event.currentTarget);
    const text = s("text", { class: `name ${lead.grade}` },
      lead.lead, s("tspan", { class: "quality", dx: "0.35em" }, isSet ? "✎" : quality));
    return s("g", {
      class: "name-button", role: "button", tabindex: 0, "data-click": "", "data-key": `name-${k}-${column}`,
      "aria-label": label,
      transform: `translate(${x} ${y})`, onclick: act,
      onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(event); } },
    }, s("rect", { class: "name-back" }), text);
  }

  zeroLine(row, k, set) {
    const isSet = (set.zero_lines ?? []).some((line) => line.row === k);
    const y = row.zero_y_mm;
    const { y_mm: top, height_mm: height } = this.drawing.flat;
    const label = `Zero line of row ${k + 1}${isSet ? ", set by you" : ""}. Arrow keys move it.`;
    return s("g", {
      class: `zero-line${isSet ? " is-set" : ""}`, tabindex: 0, role: "slider", "aria-label": label,
      "aria-orientation": "vertical", "aria-valuemin": top.toFixed(1), "aria-valuemax": (top + height).toFixed(1),
      "aria-valuenow": y.toFixed(1), "aria-valuetext": `${y.toFixed(1)} mm`,
      "data-row": k, "data-key": `zero-${k}`, onkeydown: (event) => this.zeroKey(event, k),
    },
    s("line", { x1: row.x_mm[0], x2: row.x_mm[1], y1: y, y2: y }),
    s("line", { class: "reach", x1: row.x_mm[0], x2: row.x_mm[1], y1: y, y2: y }),
    s("circle", { class: "grip", cx: row.x_mm[1] + 2, cy: y }));
  }

  zeroKey(event, k) {
    const step = { ArrowUp: -KEY_STEP_MM, ArrowDown: KEY_STEP_MM }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    this.zeros[k] = round(this.zeros[k] + step * (event.shiftKey ? 4 : 1));
    event.currentTarget.setAttribute("transform", `translate(0 ${this.zeros[k] - this.drawing.rows[k].zero_y_mm})`);
    this.on.zeroLine(k, this.zeros[k]);
  }

  leftOut({ row, x_mm: [x0, x1] }, index) {
    const [y, height] = this.band(row);
    const remove = () => this.on.remove("left_out", index);
    return s("g", {
      class: "left-out", role: "button", tabindex: 0, "data-click": "", onclick: remove,
      "aria-label": `Left out: row ${row + 1}, ${x0.toFixed(1)} to ${x1.toFixed(1)} mm. Use it again.`,
      onkeydown: (event) => { if (["Enter", " ", "Delete"].includes(event.key)) { event.preventDefault(); remove(); } },
    }, s("rect", { x: x0, y, width: x1 - x0, height }), s("title", {}, "Not used. Click to use it again."));
  }

  /** Top and height of a row's band, mm. */
  band(row) {
    const { zero_y_mm: zero, leads: [{ gain_mm_per_mv: gain }] } = this.drawing.rows[row];
    return [zero - 1.1 * gain, 1.9 * gain];
  }

  nearestRow(y) {
    const distances = this.drawing.rows.map((row) => Math.abs(row.zero_y_mm - y));
    return distances.indexOf(Math.min(...distances));
  }

  pick(event, point) {
    if (!this.drawing) return null;
    if (this.tool === "leave-out") return this.pickStretch(point);
    if (this.tool === "redraw") return this.pickStroke(point);
    const line = event.target.closest(".zero-line");
    return line ? this.pickZeroLine(line, point) : null;
  }

  pickZeroLine(element, start) {
    const row = Number(element.dataset.row);
    const zero = this.drawing.rows[row].zero_y_mm;
    element.focus({ preventScroll: true });
    element.classList.add("is-dragged");
    const stop = () => {
      element.classList.remove("is-dragged");
      element.removeAttribute("transform");
    };
    return {
      move: (point) => element.setAttribute("transform", `translate(0 ${point.y - start.y})`),
      end: (point, isClick) => { stop(); if (!isClick) this.on.zeroLine(row, round(zero + point.y - start.y)); },
      cancel: stop,
    };
  }

  pickStretch(start) {
    const row = this.nearestRow(start.y);
    const [y, height] = this.band(row);
    const mark = s("rect", { class: "stretch", x: start.x, y, width: 0, height });
    this.layers.stroke.append(mark);
    const clamp = (x) => Math.min(Math.max(x, this.drawing.rows[row].x_mm[0]), this.drawing.rows[row].x_mm[1]);
    return {
      move: (point) => {
        const [x0, x1] = [clamp(start.x), clamp(point.x)].sort((a, b) => a - b);
        mark.setAttribute("x", x0);
        mark.setAttribute("width", x1 - x0);
      },
      end: (point) => {
        mark.remove();
        const [x0, x1] = [clamp(start.x), clamp(point.x)].sort((a, b) => a - b);
        if (x1 - x0 >= LEAST_STRETCH_MM) this.on.leaveOut(row, [round(x0), round(x1)]);
      },
      cancel: () => mark.remove(),
    };
  }

  pickStroke(start) {
    const row = this.nearestRow(start.y);
    const points = [start];
    const path = s("path", { class: "stroke-now" });
    this.layers.stroke.append(path);
    return {
      move: (point) => {
        points.push(point);
        path.setAttribute("d", line(points.map((p) => p.x), points.map((p) => p.y)));
      },
      end: () => {
        path.remove();
        const [xs, ys] = asFunction(points);
        if (xs.length > 1 && xs.at(-1) - xs[0] >= LEAST_STRETCH_MM) this.on.redraw(row, xs, ys);
      },
      cancel: () => path.remove(),
    };
  }
}

/** Make of a stroke one height for each place: where it turns back, the last counts. */
function asFunction(points) {
  const heights = new Map();
  for (let k = 1; k < points.length; k++) {
    const [a, b] = [points[k - 1], points[k]];
    const steps = Math.max(1, Math.ceil(Math.abs(b.x - a.x) / STROKE_STEP_MM));
    for (let step = 0; step <= steps; step++) {
      const share = step / steps;
      heights.set(Math.round((a.x + share * (b.x - a.x)) / STROKE_STEP_MM), a.y + share * (b.y - a.y));
    }
  }
  const places = [...heights].sort(([a], [b]) => a - b);
  return [places.map(([x]) => round(x * STROKE_STEP_MM)), places.map(([, y]) => round(y))];
}

function line(xs, ys) {
  return xs.map((x, k) => `${k ? "L" : "M"} ${x.toFixed(2)} ${ys[k].toFixed(2)}`).join(" ");
}

/** The curve of a row, a path for each lead, and one for what is uncertain. */
function curves(row) {
  const { x_mm: start, step_mm: step, y_mm: heights, uncertain } = row.curve;
  const paths = row.leads.map((lead) => ({ lead, text: "" }));
  let [uncertainPath, isDown, wasUncertain, last] = ["", false, false, null];
  heights.forEach((y, k) => {
    const x = start + k * step;
    const path = paths.find(({ lead }) => x >= lead.x_mm[0] - step && x < lead.x_mm[1]) ?? paths.at(-1);
    if (y === null) { isDown = false; return; }
    const isUncertain = uncertain[k] === 1;
    const point = `${x.toFixed(2)} ${y}`;
    path.text += `${isDown && path === last ? "L" : "M"}${point}`;
    if (isUncertain) uncertainPath += `${isDown && wasUncertain ? "L" : "M"}${point}`;
    [isDown, wasUncertain, last] = [true, isUncertain, path];
  });
  return [
    ...paths.map(({ lead, text }) => s("path", { class: `curve ${lead.grade}`, d: text || null })),
    s("path", { class: "curve uncertain", d: uncertainPath || null }),
  ];
}

/** A bar of 1 mV at the beginning of a row. */
function bar(row, left) {
  const gain = row.leads[0].gain_mm_per_mv;
  const [x, y] = [Math.max(row.x_mm[0] - 3, left + 2), row.zero_y_mm];
  return s("g", { class: "bar" },
    s("path", { d: `M ${x - 1} ${y} H ${x + 1} M ${x} ${y} V ${y - gain} M ${x - 1} ${y - gain} H ${x + 1}` }),
    s("text", { x, y: y + 1.5 }, "1 mV"));
}

const round = (value) => Math.round(value * 100) / 100;
