// What was read, in words and numbers, and the settings that a person may set.

import { openAnalysis } from "./analysis.js";
import { capital, h, icon, sentence } from "./dom.js";
import { correct, readAgain, remove, setOf } from "./records.js";

const WORDS = { good: "Good", fair: "Fair: compare it with the page", poor: "Poor: do not rely on it" };

const grade = (quality) => (quality === null ? "poor" : quality >= 0.8 ? "good" : quality >= 0.5 ? "fair" : "poor");
const number = (quality) => quality.toFixed(2);

let shown = "";

/** Draw the panel of a record, if anything in it has changed; the focus stays on the control that has it. */
export function drawPanel(panel, record, choices, onDelete) {
  const { id, name, state, revision, loaded, isBusy, pages, pictures } = record ?? {};
  const set = record && setOf(record);
  const content = JSON.stringify([id, name, state, revision, loaded, isBusy, pages, pictures?.photo, set]);
  if (content === shown) return;
  shown = content;
  const focused = panel.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  panel.replaceChildren(...sections(record, choices, onDelete));
  if (focused) panel.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
}

function sections(record, choices, onDelete) {
  if (!record) return [h("p", { className: "quiet" }, "Nothing is read yet.")];
  const head = title(record, onDelete);
  if (record.state === "failed") {
    return [head, failure(record), record.pictures.photo && again(record, choices)].filter(Boolean);
  }
  if (record.state !== "done" || !record.record) {
    return [head, h("p", { className: "quiet" }, "The result stands here as soon as the picture is read.")];
  }
  return [head, summary(record), analysis(record), warnings(record), settings(record, choices),
    leads(record, choices), stretches(record)].filter(Boolean);
}

function title(record, onDelete) {
  const page = record.pages?.length > 1 ? `, page ${record.page}` : "";
  return h("div", { className: "panel-head" },
    h("h2", { title: record.name }, record.name + page),
    h("button", { className: "plain", title: "Delete this record", ariaLabel: "Delete this record",
      onclick: () => remove(record).then(onDelete) }, icon("trash")));
}

function failure(record) {
  const { error } = record;
  return h("section", { className: "card poor", role: "alert" },
    h("h3", {}, capital(error?.what ?? "The picture could not be read")),
    error && h("p", {}, sentence(error)),
    error?.hint && h("p", { className: "hint" }, error.hint));
}

/** What helps where a page was not read: its corners, and what it prints. */
function again(record, choices) {
  const { options } = record;
  const field = (name, label, values, unit) => h("label", {}, h("span", {}, label),
    h("select", { name }, [["", "From the page"], ...values.map((v) => [v, `${v}${unit}`])].map(([value, text]) =>
      h("option", { value }, text))));
  const resolution = h("input", { name: "min_px_per_mm", type: "number", min: 0.5, max: 100, step: 0.1,
    value: options.min_px_per_mm });
  const form = h("form", { className: "settings", onsubmit: (event) => {
    event.preventDefault();
    const { min_px_per_mm: finest, ...chosen } = Object.fromEntries(new FormData(form));
    if (Number(finest) !== options.min_px_per_mm) { readAgain(record, { min_px_per_mm: Number(finest) }); return; }
    const set = Object.entries(chosen).filter(([, value]) => value);
    correct(record, { corners: record.shownCorners, ...Object.fromEntries(set.map(([name, value]) =>
      [name, name === "layout" ? value : Number(value)])) });
  } },
  h("h3", {}, "Show where the page lies"),
  h("p", { className: "quiet" }, "Drag the corners in the photo to those of the page, and say what it prints."),
  field("layout", "Layout", choices.layouts, ""),
  field("speed", "Paper speed", choices.speeds, " mm/s"),
  field("gain", "Gain", choices.gains, " mm/mV"),
  h("label", {}, h("span", {}, "Least resolution"), h("span", { className: "with-unit" }, resolution, "px/mm")),
  h("button", { className: "primary", type: "submit", disabled: Boolean(record.isBusy) },
    record.isBusy ? "Reading" : "Read this page"));
  return form;
}

function summary(record) {
  const { mean_quality: quality, duration_s: seconds, fs } = record.record;
  const kind = grade(quality);
  return h("section", { className: `card ${kind}` },
    h("div", { className: "score" },
      h("span", { className: "number" }, quality === null ? "–" : number(quality)),
      h("span", {}, h("strong", {}, "Mean quality"), h("br"), WORDS[kind])),
    h("p", { className: "quiet" }, `${record.record.leads.length} leads, ${seconds.toFixed(1)} s at ${fs} Hz.`));
}

function analysis(record) {
  return h("section", {}, h("button", { type: "button", "data-key": "analyze", onclick: () => openAnalysis(record) },
    icon("beats"), "Beats, intervals, heart"));
}

function warnings(record) {
  const { warnings: list } = record.record;
  if (!list.length) return null;
  return h("section", {}, h("h3", {}, `Warnings (${list.length})`),
    h("ul", { className: "warnings" }, list.map((warning) => h("li", {}, warning.text))));
}

function badge(text, kind) {
  return h("span", { className: `badge ${kind}` }, text);
}

function settings(record, choices) {
  const { record: read } = record;
  const set = setOf(record);
  const field = (key, label, values, value, unit) => {
    const isSet = set[key] !== null && set[key] !== undefined;
    const isAssumed = !isSet && read.assumed.includes(key);
    const shown = values.includes(value) ? values : [value, ...values];
    return h("label", { className: isSet ? "is-set" : "" },
      h("span", {}, label, " ", isSet && badge("set by you", "set"), isAssumed && badge("assumed", "assumed")),
      h("span", { className: "with-unit" },
        h("select", { "data-key": key,
          onchange: (event) => correct(record, { [key]: parsed(event.target.value, values) }) },
        shown.map((v) => h("option", { value: v, selected: v === value }, `${v}${unit}`))),
        isSet && h("button", { type: "button", className: "plain", title: "Take what was read",
          ariaLabel: `${label}: take what was read`,
          onclick: () => correct(record, { [key]: null }) }, icon("reset"))));
  };
  return h("section", { className: "settings" }, h("h3", {}, "Page"),
    field("layout", "Layout", choices.layouts, set.layout ?? read.layout, ""),
    field("speed", "Paper speed", choices.speeds, set.speed ?? read.paper_speed_mm_per_s, " mm/s"),
    field("gain", "Gain", choices.gains, set.gain ?? read.gain_mm_per_mv, " mm/mV"),
    field("chest_gain", "Gain of chest leads", choices.gains,
      set.chest_gain ?? set.gain ?? read.chest_gain_mm_per_mv, " mm/mV"));
}

/** The value of a select in the type of its choices. */
function parsed(text, values) {
  return typeof values[0] === "number" ? Number(text) : text;
}

function leads(record, choices) {
  const { drawing } = record;
  if (!drawing) return null;
  const set = setOf(record).names ?? [];
  const rows = drawing.rows.flatMap((row, k) => row.leads.map((lead, column) => ({ row: k, column, ...lead })));
  return h("section", {}, h("h3", {}, "Leads"),
    h("table", { className: "leads" },
      h("thead", {}, h("tr", {}, ["Row", "Lead", "Quality", "SNR"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((lead) => {
        const isSet = set.some((name) => name.row === lead.row && name.column === lead.column);
        const snr = record.record.expected_snr_db[lead.lead.replace("-", "")];
        return h("tr", {},
          h("td", {}, `${lead.row + 1}.${lead.column + 1}`),
          h("td", {}, h("select", { "data-key": `lead-${lead.row}-${lead.column}`, className: isSet ? "is-set" : "",
            ariaLabel: `Lead in row ${lead.row + 1}, column ${lead.column + 1}${isSet ? ", set by you" : ""}`,
            onchange: (event) => rename(record, lead.row, lead.column, event.target.value) },
          [...new Set([lead.lead, ...choices.leads])].map((name) =>
            h("option", { value: name, selected: name === lead.lead }, name)))),
          h("td", {}, meter(lead)),
          h("td", { className: "number" }, snr === null || snr === undefined ? "–" : `${snr.toFixed(0)} dB`));
      }))));
}

function meter({ quality, grade: kind }) {
  const text = quality === null ? "not seen" : number(quality);
  const bar = h("span", { className: `meter ${kind}`, ariaHidden: "true" }, h("span", {}));
  bar.firstChild.style.width = `${100 * (quality ?? 0)}%`;
  return h("span", { className: "with-meter" }, bar, text);
}

/** Give a lead another name. */
export function rename(record, row, column, lead) {
  const others = (setOf(record).names ?? []).filter((name) => name.row !== row || name.column !== column);
  correct(record, { names: [...others, { row, column, lead }] });
}

/** Stretches that a person left out or drew; here they can be entered by numbers, too. */
function stretches(record) {
  if (!record.drawing) return null;
  const set = setOf(record);
  const { rows, speed_mm_per_s: speed } = record.drawing;
  const seconds = (row, x) => ((x - rows[row].x_mm[0]) / speed).toFixed(2);
  const item = (kind, word) => (stretch, k) => h("li", {},
    h("span", {}, `${word}: row ${stretch.row + 1}, ${seconds(stretch.row, stretch.x_mm[0])} to ` +
      `${seconds(stretch.row, stretch.x_mm.at(-1))} s`),
    h("button", { className: "plain", type: "button", ariaLabel: `Remove: ${word}, row ${stretch.row + 1}`,
      onclick: () => correct(record, { [kind]: set[kind].filter((_, other) => other !== k) }) }, icon("close")));
  const items = [...(set.left_out ?? []).map(item("left_out", "Not used")),
    ...(set.redrawn ?? []).map(item("redrawn", "Drawn by you"))];
  const inSeconds = (name, value) => h("input", { name, type: "number", step: 0.01, min: 0, required: true, value });
  const form = h("form", { className: "inline", onsubmit: (event) => {
    event.preventDefault();
    const [row, from, to] = ["row", "from", "to"].map((name) => Number(form.elements[name].value));
    const [x0] = rows[row - 1].x_mm;
    const stretch = { row: row - 1, x_mm: [x0 + from * speed, x0 + to * speed] };
    correct(record, { left_out: [...(set.left_out ?? []), stretch] });
  } },
  h("label", {}, "Row ",
    h("input", { name: "row", type: "number", min: 1, max: rows.length, value: 1, required: true })),
  h("label", {}, "from ", inSeconds("from", 0), " s"), h("label", {}, "to ", inSeconds("to", 1), " s"),
  h("button", { type: "submit" }, "Leave out"));
  return h("section", {}, h("h3", {}, "Stretches"),
    items.length ? h("ul", { className: "stretches" }, items) : h("p", { className: "quiet" },
      "Mark what is not to be used, or draw the curve, with the tools above the page."),
    h("details", {}, h("summary", {}, "Leave out by numbers"), form));
}
