// The list of pictures and pages, and how far each is.

import { h, icon } from "./dom.js";
import { current, records, select } from "./records.js";

const WORDS = { sending: "Sending", waiting: "Waiting", reading: "Reading", done: "Done", failed: "Failed" };

export function drawQueue(list) {
  const hadFocus = list.contains(document.activeElement);
  list.replaceChildren(...records.map((record) => {
    const isCurrent = record === current();
    const page = record.pages?.length > 1 ? ` · page ${record.page ?? "?"}` : "";
    const quality = record.record?.mean_quality;
    const detail = record.state === "done" && typeof quality === "number"
      ? `quality ${quality.toFixed(2)}` : record.state === "failed" ? record.error?.what ?? "" : "";
    const words = record.isBusy ? "Correcting" : WORDS[record.state];
    return h("li", {}, h("button", { className: `item ${record.state}`, type: "button",
      ariaCurrent: isCurrent ? "true" : null, onclick: () => select(record) },
    h("span", { className: "state", ariaHidden: "true" }, icon(iconOf(record))),
    h("span", { className: "texts" },
      h("span", { className: "file" }, record.name + page),
      h("span", { className: "detail" }, detail ? `${words} · ${detail}` : words))));
  }));
  if (hadFocus) list.querySelector("[aria-current]")?.focus({ preventScroll: true });
}

function iconOf({ state, isBusy, record }) {
  if (isBusy || state === "sending" || state === "reading") return "busy";
  if (state === "failed") return "failed";
  if (state === "waiting") return "waiting";
  return (record?.mean_quality ?? 0) >= 0.5 ? "done" : "warn";
}

/** How many pictures are in which state, as a sentence. */
export function progress() {
  const count = (...states) => records.filter((record) => states.includes(record.state)).length;
  const open = count("sending", "waiting", "reading");
  const parts = [open && `${open} to read`, count("done") && `${count("done")} done`,
    count("failed") && `${count("failed")} failed`];
  return parts.filter(Boolean).join(", ");
}
