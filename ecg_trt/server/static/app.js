// The page: it wires the list, the two pictures and the panel to the records.

import { getJson, onTokenNeeded } from "./api.js";
import { $, complain, h, say } from "./dom.js";
import { isSession, openExport, openSession, saveSession, setUpExport } from "./files.js";
import { FlatPane } from "./flat.js";
import { drawPanel, rename } from "./panel.js";
import { PhotoPane } from "./photo.js";
import { drawQueue, progress } from "./queue.js";
import { correct, current, events, isSettled, load, poll, records, redo, resume, select, setOf, undo, upload }
  from "./records.js";

let choices = null;

const photo = new PhotoPane($("#photo"), (corners) => {
  const record = current();
  record.shownCorners = corners;
  if (record.state === "done") correct(record, { corners, quarter_turns: null, mirrored: null, rotation_deg: 0 });
});

const flat = new FlatPane($("#flat"), {
  name: (row, column, anchor) => chooseName(row, column, anchor),
  zeroLine: (row, y) => replaceIn("zero_lines", (line) => line.row === row, { row, y_mm: y }),
  leaveOut: (row, x) => replaceIn("left_out", () => false, { row, x_mm: x }),
  redraw: (row, x, y) => replaceIn("redrawn", () => false, { row, x_mm: x, y_mm: y }),
  remove: (kind, index) => correct(current(), { [kind]: setOf(current())[kind].filter((_, k) => k !== index) }),
});

function replaceIn(kind, isOld, item) {
  const kept = (setOf(current())[kind] ?? []).filter((other) => !isOld(other));
  correct(current(), { [kind]: [...kept, item] });
}

// ---- drawing -------------------------------------------------------------------------------------------------------

function draw() {
  const record = current();
  document.body.dataset.state = records.length ? record?.state ?? "none" : "empty";
  drawQueue($("#queue"));
  $("#progress").textContent = progress();
  drawPanel($("#panel"), record, choices, () => draw());
  drawButtons(record);
}

function drawButtons(record) {
  $("#undo").disabled = !record?.undo.length;
  $("#redo").disabled = !record?.redo.length;
  const isDone = record?.state === "done";
  for (const button of document.querySelectorAll("[data-needs=done]")) button.disabled = !isDone;
  for (const button of document.querySelectorAll("[data-needs=any]")) {
    button.disabled = !records.some((each) => each.state === "done");
  }
  document.body.classList.toggle("is-correcting", Boolean(record?.isBusy));
  const set = record ? setOf(record) : {};
  $("#rotation").value = set.rotation_deg ?? 0;
  $("#rotation-value").textContent = `${(set.rotation_deg ?? 0).toFixed(1)}°`;
  const isPageSet = set.corners || set.quarter_turns !== null || set.mirrored !== null || set.rotation_deg;
  $("#photo-set").hidden = !(isDone && isPageSet);
}

async function drawPictures() {
  const record = current();
  if (!record) { photo.clear(); flat.clear(); return; }
  try {
    await load(record);
  } catch (error) {
    complain(error);
  }
  showPictures(record);
}

function showPictures(record) {
  if (record !== current()) return;
  const { pictures, drawing } = record;
  const isReady = isSettled(record);
  if (isReady && pictures.photo) {
    const corners = setOf(record).corners ?? drawing?.corners ?? null;
    const [width, height] = record.photo_px;
    photo.show(pictures.photo, { width, height }, corners);
    if (record.state === "failed") record.shownCorners = photo.corners;
  } else photo.clear();
  if (isReady && drawing) flat.show(pictures.flat, drawing, setOf(record));
  else flat.clear();
}

events.addEventListener("changed", draw);
events.addEventListener("corrected", draw);
events.addEventListener("busy", () => say("Reading anew"));
events.addEventListener("loaded", () => {
  showPictures(current());
  draw();
  if (current().state === "done" && current().isBusy) say("Read anew");
});
events.addEventListener("selected", () => { closeNames(); draw(); drawPictures(); });
events.addEventListener("error", (event) => { complain(event.detail); draw(); showPictures(current()); });

// ---- turning the page ----------------------------------------------------------------------------------------------

/** Turn the page as it is shown: by a quarter clockwise (1) or back (-1). */
function turn(quarters) {
  const record = current();
  const { corners, quarter_turns: turns } = setOf(record);
  if (corners) correct(record, { corners: [0, 1, 2, 3].map((k) => corners[(k - quarters + 4) % 4]) });
  else correct(record, { quarter_turns: ((turns ?? record.drawing.quarter_turns) - quarters + 4) % 4 });
}

function mirror() {
  const record = current();
  const { corners, mirrored } = setOf(record);
  if (corners) correct(record, { corners: [1, 0, 3, 2].map((k) => corners[k]) });
  else correct(record, { mirrored: !(mirrored ?? record.drawing.mirrored) });
}

function rotate(degrees) {
  correct(current(), { rotation_deg: Math.round(degrees * 10) / 10 });
}

// ---- names of leads ------------------------------------------------------------------------------------------------

function chooseName(row, column, anchor) {
  const box = anchor.getBoundingClientRect();
  const menu = $("#names");
  const now = current().drawing.rows[row].leads[column].lead;
  menu.replaceChildren(h("p", { className: "quiet" }, `Row ${row + 1}, column ${column + 1} shows`),
    h("div", { className: "grid" }, choices.leads.map((lead) => h("button", {
      type: "button", ariaPressed: String(lead === now),
      onclick: () => { closeNames(); rename(current(), row, column, lead); },
    }, lead))));
  menu.showModal();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, Math.min(box.bottom + 6, innerHeight - height - 8))}px`;
  menu.querySelector("[aria-pressed=true]")?.focus();
}

function closeNames() {
  if ($("#names").open) $("#names").close();
}

$("#names").addEventListener("click", (event) => { if (event.target === event.currentTarget) closeNames(); });

// ---- files in ------------------------------------------------------------------------------------------------------

async function takeFiles(files) {
  const all = [...files];
  for (const session of all.filter(isSession)) await openSession(session);
  const pictures = all.filter((file) => !isSession(file));
  if (pictures.length) say(`${pictures.length} pictures are sent.`);
  await upload(pictures);
}

for (const input of document.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => { takeFiles(input.files); input.value = ""; });
}
for (const button of document.querySelectorAll("[data-opens]")) {
  button.addEventListener("click", () => $(button.dataset.opens).click());
}
let depth = 0;
const isOver = (is) => document.body.classList.toggle("is-over", is);
addEventListener("dragenter", () => isOver(++depth > 0));
addEventListener("dragleave", () => isOver(--depth > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  isOver((depth = 0) > 0);
  takeFiles(event.dataTransfer.files);
});
addEventListener("paste", (event) => { if (event.clipboardData.files.length) takeFiles(event.clipboardData.files); });

// ---- controls ------------------------------------------------------------------------------------------------------

const panes = { photo: photo.viewport, flat: flat.viewport };
const actions = {
  undo: () => undo(current()), redo: () => redo(current()),
  help: () => $("#help").showModal(),
  export: openExport, "save-session": saveSession,
  "turn-left": () => turn(-1), "turn-right": () => turn(1), mirror,
  "reset-page": () => correct(current(), { corners: null, quarter_turns: null, mirrored: null, rotation_deg: 0 }),
  "zoom-in": (button) => panes[button.dataset.pane].zoom(1.4),
  "zoom-out": (button) => panes[button.dataset.pane].zoom(1 / 1.4),
  fit: (button) => panes[button.dataset.pane].fit(),
};
for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => actions[button.dataset.action](button));
}
$("#rotation").addEventListener("input", (event) => {
  $("#rotation-value").textContent = `${Number(event.target.value).toFixed(1)}°`;
});
$("#rotation").addEventListener("change", (event) => rotate(Number(event.target.value)));

function setTool(tool) {
  flat.tool = tool;
  $("#flat").dataset.tool = tool;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }
}
for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => setTool(button.dataset.tool));
}
for (const box of document.querySelectorAll("[data-layer]")) {
  const apply = () => $("#flat").classList.toggle(`hides-${box.dataset.layer}`, !box.checked);
  box.addEventListener("change", apply);
  apply();
}
$("#opacity").addEventListener("input", (event) => $("#flat").style.setProperty("--trace-opacity", event.target.value));
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => setView(button.dataset.view));
}

function setView(view) {
  $("#stage").dataset.view = view;
  for (const button of document.querySelectorAll("[data-view]")) {
    if (button.tagName === "BUTTON") button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }
}

const keys = {
  v: () => setTool("move"), x: () => setTool("leave-out"), d: () => setTool("redraw"),
  t: () => $("[data-layer=trace]").click(), g: () => $("[data-layer=grid]").click(), e: openExport,
  j: () => go(1), k: () => go(-1), "[": () => isDone() && turn(-1), "]": () => isDone() && turn(1),
  "?": () => actions.help(),
};
const isDone = () => current()?.state === "done";

function go(step) {
  const next = records[records.indexOf(current()) + step];
  if (!next) return;
  select(next);
  $("#queue [aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
}

addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input:not([type=checkbox], [type=range]), select, textarea, dialog");
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && event.key.toLowerCase() === "z" && !isTyping && current()) {
    event.preventDefault();
    (event.shiftKey ? redo : undo)(current());
  } else if (!isCommand && !event.altKey && !isTyping && event.key in keys) {
    event.preventDefault();
    keys[event.key]();
  }
});

// ---- start ---------------------------------------------------------------------------------------------------------

onTokenNeeded(() => new Promise((resolve) => {
  const dialog = $("#token");
  dialog.showModal();
  dialog.addEventListener("close", () => {
    const given = dialog.returnValue === "ok" ? $("#token-value").value.trim() : null;
    $("#token-value").value = "";
    resolve(given);
  }, { once: true });
}));

try {
  choices = await getJson("/v1/choices");
  $("#notice").textContent = choices.notice;
  for (const input of document.querySelectorAll("input[type=file][data-accept]")) {
    input.accept = [...choices.accept, ".json"].join(",");
  }
  setUpExport(choices);
  setTool("move");
  setView(matchMedia("(max-width: 820px)").matches ? "flat" : "both");
  draw();
  await resume();
  poll();
} catch (error) {
  complain(error);
}
