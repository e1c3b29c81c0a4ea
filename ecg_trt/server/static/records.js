// Records of this tab: what the server knows of them, and what the user set.

import { call, getBlob, getJson, Problem, sendJson } from "./api.js";

const KEY = "ecg-trt-records";
const POLL_MS = 600;
const SEND_MS = 250; // A page that was moved is read anew, in seconds: several quarter turns make one reading.
const STEP_MS = 700; // Changes of one kind that follow one another faster, as by a key that is held, are one step.
const ASK_MS = 300_000; // The server forgets a record that nobody asks for.

/** Corrections that name rows and places of the page as it lies now: they go when another frame is read. */
const ON_PAGE = ["names", "zero_lines", "left_out", "redrawn"];
const MOVES = ["corners", "quarter_turns", "rotation_deg", "mirrored"];
const OF_PAGE = [...MOVES, "layout"];

export const events = new EventTarget();
export const records = [];
let selected = null;

const emit = (type, detail) => events.dispatchEvent(new CustomEvent(type, { detail }));

export const current = () => selected;

export function select(record) {
  selected = record;
  emit("selected");
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const isSettled = (record) => record.state === "done" || record.state === "failed";

function remember() {
  sessionStorage.setItem(KEY, JSON.stringify(records.filter((r) => r.id).map((r) => r.id)));
}

/** A record before the server knows it. */
function draft(name) {
  return { id: null, name, state: "sending", undo: [], redo: [], pictures: {}, drawing: null, corrections: {} };
}

function take(record, answer) {
  const { state, revision } = record;
  Object.assign(record, answer);
  if (!record.pending) record.set = answer.corrections;
  return state !== record.state || revision !== record.revision;
}

/** Send files, one after the other; while the server is busy they wait here. Returns their records. */
export async function upload(files, options = {}) {
  const added = files.map((file) => [file, draft(file.name || "pasted picture")]);
  for (const [, record] of added) records.push(record);
  if (added.length && (!selected || isSettled(selected))) select(added[0][1]);
  emit("changed");
  for (const [file, record] of added) await send(file, record, options);
  return added.map(([, record]) => record);
}

async function send(file, record, options) {
  const form = new FormData();
  for (const [name, value] of Object.entries(options)) form.append(name, value);
  form.append("files", file, record.name);
  for (;;) {
    try {
      const { records: [answer] } = await sendJson("POST", "/v1/records", form);
      take(record, answer);
      break;
    } catch (error) {
      if (error instanceof Problem && (error.status === 503 || error.status === 429)) {
        await wait(1000 * (error.retryAfter || 5));
        continue;
      }
      record.state = "failed";
      record.error = error;
      if (record === selected) select(record);
      break;
    }
  }
  remember();
  emit("changed");
}

/** Take up the records that this tab had before it was loaded anew. */
export async function resume() {
  for (const id of JSON.parse(sessionStorage.getItem(KEY) ?? "[]")) {
    try {
      const answer = await getJson(`/v1/records/${id}`);
      const record = draft(answer.name);
      take(record, answer);
      records.push(record);
    } catch { /* It has expired. */ }
  }
  remember();
  if (records.length) select(records[0]);
  emit("changed");
}

/** Ask for ever how far the records are; now and then for all of them, so that they are kept. */
export async function poll() {
  let asked = Date.now();
  for (;;) {
    await wait(POLL_MS);
    const asksForAll = Date.now() - asked > ASK_MS;
    const open = records.filter((record) => record.id && (asksForAll || !isSettled(record)));
    if (asksForAll) asked = Date.now();
    if (!open.length) continue;
    try {
      const query = open.map((record) => `id=${record.id}`).join("&");
      const { records: answers } = await getJson(`/v1/records?${query}`);
      for (const answer of answers) await follow(answer);
    } catch (error) {
      if (error.status === 404) await dropExpired(open);
    }
  }
}

async function follow(answer) {
  const record = records.find((known) => known.id === answer.id);
  if (!record || !take(record, answer)) return;
  let after = records.indexOf(record);
  for (const id of answer.pages) {
    const known = records.findIndex((other) => other.id === id);
    if (known >= 0) { after = known; continue; }
    const page = draft(answer.name);
    take(page, await getJson(`/v1/records/${id}`));
    records.splice(++after, 0, page);
  }
  remember();
  emit("changed");
  if (record === selected) select(record);
}

async function dropExpired(open) {
  for (const record of open) {
    await getJson(`/v1/records/${record.id}`).catch((error) => {
      if (error.status !== 404) return;
      record.state = "failed";
      record.error = error;
    });
  }
  emit("changed");
}

/** The pictures and curves of a record, as they are now. */
export async function load(record) {
  const { revision } = record;
  if (record.loaded === revision || !isSettled(record) || !record.id) return;
  const base = `/v1/records/${record.id}`;
  const picture = async (kind) => URL.createObjectURL(await getBlob(`${base}/pictures/${kind}`));
  const photo = record.pictures.photo ?? await picture("photo").catch(() => null);
  const drawing = record.state === "done" ? await getJson(`${base}/drawing`) : null;
  const isSame = drawing && drawing.frame === record.drawing?.frame;
  const flat = isSame ? record.pictures.flat : drawing && await picture("flat");
  if (record.revision !== revision) return;
  for (const [kind, url] of Object.entries({ photo, flat })) {
    if (record.pictures[kind] && record.pictures[kind] !== url) URL.revokeObjectURL(record.pictures[kind]);
    record.pictures[kind] = url;
  }
  record.drawing = drawing;
  record.loaded = revision;
  if (record === selected) emit("loaded");
}

/** What a person set, as the server will know it in a moment. */
export const setOf = (record) => record.pending ?? record.set ?? {};

/** Change corrections; the step can be undone. */
export function correct(record, change) {
  const before = setOf(record);
  const after = { ...before, ...change };
  if (OF_PAGE.some((key) => key in change)) for (const key of ON_PAGE) after[key] = [];
  const [kind, now] = [Object.keys(change).join(), Date.now()];
  const isSameStep = record.step?.kind === kind && now - record.step.at < STEP_MS;
  if (!isSameStep) record.undo.push(before);
  Object.assign(record, { redo: [], step: { kind, at: now } });
  submit(record, after);
}

export function undo(record) {
  step(record, record.undo, record.redo);
}

export function redo(record) {
  step(record, record.redo, record.undo);
}

function step(record, from, to) {
  if (!from.length) return;
  record.step = null;
  to.push(setOf(record));
  submit(record, from.pop());
}

/** Send the newest corrections; those that come meanwhile are sent together, afterwards. */
async function submit(record, corrections) {
  const [before, wasBusy] = [setOf(record), record.isBusy];
  Object.assign(record, { pending: corrections, isBusy: true });
  emit("corrected");
  if (wasBusy) return;
  if (MOVES.some((key) => JSON.stringify(corrections[key]) !== JSON.stringify(before[key]))) await wait(SEND_MS);
  try {
    while (record.pending) {
      const sent = record.pending;
      emit("busy");
      const answer = await sendJson("PATCH", `/v1/records/${record.id}`, sent);
      if (record.pending === sent) record.pending = null;
      take(record, answer);
      record.good = { undo: [...record.undo], redo: [...record.redo] };
      await load(record);
    }
  } catch (error) {
    Object.assign(record, { pending: null, undo: [], redo: [] }, structuredClone(record.good));
    emit("error", error);
  } finally {
    record.isBusy = false;
    emit("corrected");
    emit("changed");
  }
}

/** Read a page anew, with other options. */
export async function readAgain(record, options) {
  try {
    take(record, await sendJson("POST", `/v1/records/${record.id}/read`, { options }));
    Object.assign(record, { undo: [], redo: [], good: null, pending: null });
    select(record);
  } catch (error) {
    emit("error", error);
  }
  emit("changed");
}

export async function remove(record) {
  if (record.id) await call("DELETE", `/v1/records/${record.id}`).catch(() => null);
  for (const url of Object.values(record.pictures)) if (url) URL.revokeObjectURL(url);
  const at = records.indexOf(record);
  records.splice(at, 1);
  remember();
  if (record === selected) select(records[Math.min(at, records.length - 1)] ?? null);
  emit("changed");
}

/** Wait until a record is settled. */
export async function settled(record) {
  while (!isSettled(record)) await wait(POLL_MS);
}

export { isSettled };
