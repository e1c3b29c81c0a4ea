// Files out and in: exports in every format, and the whole session as one file.

import { call, getBlob, sendJson } from "./api.js";
import { $, complain, h, say } from "./dom.js";
import { current, events, isSettled, records, select, setOf, settled, upload } from "./records.js";

const FORMAT = "ecg_trt session";
const VERSION = 1;

function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const done = () => records.filter((record) => record.state === "done");

/** Fill the dialog of the export from the formats that the server has. */
export function setUpExport(choices) {
  const options = $("#export-options");
  const boxes = choices.formats.map((format) => h("label", { className: "format" },
    h("input", { type: "checkbox", name: "format", value: format.name, checked: format.name === "csv",
      onchange: showOptions }),
    h("span", {}, h("strong", {}, format.name), h("span", { className: "quiet" }, format.summary))));
  $("#export-formats").replaceChildren(...boxes);
  const texts = Object.assign({}, ...choices.formats.map((format) => format.options));
  options.replaceChildren(...Object.entries(texts).map(([name, text]) =>
    h("label", { hidden: true, "data-option": name },
      h("span", {}, name), h("input", { name: `option-${name}`, autocomplete: "off" }),
      h("span", { className: "quiet" }, text))));

  function chosen() {
    return [...document.querySelectorAll("#export-formats input:checked")].map((box) => box.value);
  }

  function showOptions() {
    const taken = choices.formats.filter((format) => chosen().includes(format.name))
      .flatMap((format) => Object.keys(format.options));
    for (const field of options.children) field.hidden = !taken.includes(field.dataset.option);
  }

  $("#export-form").addEventListener("submit", async (event) => {
    if (event.submitter?.value !== "export") return;
    event.preventDefault();
    const which = $("#export-form").elements.which.value === "all" ? done() : [current()];
    const query = new URLSearchParams();
    for (const record of which) query.append("id", record.id);
    for (const name of chosen()) query.append("format", name);
    for (const field of options.children) {
      const value = field.querySelector("input").value.trim();
      if (!field.hidden && value) query.append(field.dataset.option, value);
    }
    try {
      const response = await call("GET", `/v1/export?${query}`);
      const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition"))?.[1] ?? "ecg.zip";
      save(await response.blob(), name);
      $("#export").close();
      say(`${name} was exported.`);
    } catch (error) {
      complain(error);
    }
  });
}

export function openExport() {
  const all = done();
  if (!all.length) return;
  const { which } = $("#export-form").elements;
  const isDone = current()?.state === "done";
  for (const radio of which) radio.disabled = radio.value === "one" && !isDone;
  $("#export-records").hidden = all.length === 1 && isDone;
  which.value = isDone ? "one" : "all";
  $("#export-count").textContent = `All ${all.length} that were read`;
  $("#export-name").textContent = isDone ? current().name : "This record";
  $("#export").showModal();
}

const asText = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(blob);
});

/** Save photos, options and corrections as one file. */
export async function saveSession() {
  const photos = new Map();
  try {
    for (const record of records.filter((each) => each.id && isSettled(each))) {
      const first = record.pages[0];
      if (!photos.has(first)) {
        const data = await asText(await getBlob(`/v1/records/${record.id}/upload`));
        photos.set(first, { name: record.name, data, pages: [] });
      }
      const { page, options } = record;
      photos.get(first).pages.push({ page, options, corrections: setOf(record) });
    }
    const notice = $("#notice").textContent;
    const session = { format: FORMAT, version: VERSION, notice, photos: [...photos.values()] };
    save(new Blob([JSON.stringify(session)], { type: "application/json" }), "ecg_session.json");
    say(`A session of ${photos.size} pictures was saved.`);
  } catch (error) {
    complain(error);
  }
}

/** True for a file that may be a session. */
export const isSession = (file) => file.name.toLowerCase().endsWith(".json");

/** Open a session: send its photos, and correct them as they were. */
export async function openSession(file) {
  try {
    const session = JSON.parse(await file.text());
    if (session.format !== FORMAT || session.version !== VERSION) throw new Error("another kind of JSON file");
    await Promise.all(session.photos.map(restore));
    say(`A session of ${session.photos.length} pictures was opened.`);
  } catch (error) {
    complain(error.what ? error : { what: `${file.name} cannot be opened`, got: error.message,
      expected: "a session that this page saved", hint: "Choose another file." });
  }
}

async function restore({ name, data, pages }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const options = pages[0]?.options ?? {};
  const [first] = await upload([new File([bytes], name)], options);
  if (!first.id) return;
  await settled(first);
  for (const { page, corrections } of pages) {
    const record = records.find((each) => first.pages.includes(each.id) && each.page === page);
    if (!record) continue;
    await settled(record);
    if (corrections && JSON.stringify(corrections) !== JSON.stringify(record.corrections)) {
      const answer = await sendJson("PATCH", `/v1/records/${record.id}`, corrections);
      Object.assign(record, answer, { set: answer.corrections, loaded: null });
    }
    if (record === current()) select(record);
  }
  events.dispatchEvent(new CustomEvent("changed"));
}
