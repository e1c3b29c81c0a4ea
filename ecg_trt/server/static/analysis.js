// Beats, intervals and a map of the heart: made when they are asked for, and shown above the page.

import { getBlob, getJson } from "./api.js";
import { $, complain, h, say } from "./dom.js";

const PICTURES = {
  analysis: "Median beats of the leads, and the intervals between beats",
  activation: "Activation of the heart, as a bull's-eye and from four sides",
};

let urls = [];
let latest = 0; // Number of the analysis that was asked for last; an earlier one that comes late is not shown.

/** Analyze a record as it is now, and show what was found. */
export async function openAnalysis(record) {
  const [dialog, content] = [$("#analysis"), $("#analysis-content")];
  const path = `/v1/records/${record.id}`;
  const number = ++latest;
  $("#analysis-title").textContent = `Analysis of ${record.name}`;
  content.replaceChildren(h("p", { className: "quiet", role: "status" }, "Analyzing"));
  dialog.showModal();
  try {
    const found = await getJson(`${path}/analysis`);
    const kinds = Object.keys(PICTURES).filter((kind) => kind === "analysis" || found[kind]);
    const blobs = await Promise.all(kinds.map((kind) => getBlob(`${path}/pictures/${kind}`).catch(() => null)));
    if (number !== latest) return;
    content.replaceChildren(...sections(found, record.record.leads.length), ...pictures(kinds, blobs));
    say("Analyzed");
  } catch (error) {
    if (number !== latest) return;
    dialog.close();
    complain(error);
  }
}

function pictures(kinds, blobs) {
  for (const url of urls) URL.revokeObjectURL(url);
  urls = blobs.map((blob) => blob && URL.createObjectURL(blob));
  return urls.map((url, k) => (url
    ? h("a", { href: url, target: "_blank", title: "Show it alone" }, h("img", { src: url, alt: PICTURES[kinds[k]] }))
    : h("p", { className: "quiet" }, `${PICTURES[kinds[k]]}: not drawn; the server may lack matplotlib.`)));
}

function sections(found, leadCount) {
  const { beats, classes, measurements, omissions } = found;
  const count = beats.r_s.length;
  return [
    h("p", {}, h("strong", {}, found.notice)),
    h("p", {}, `${count} beat${count === 1 ? "" : "s"}${beats.regularity ? `, ${beats.regularity}` : ""}.`),
    classes?.text && h("p", {}, classes.text),
    figures(measurements.filter((measurement) => measurement.title), leadCount),
    omissions.length && h("details", {}, h("summary", {}, `Left out (${omissions.length})`),
      h("ul", {}, omissions.map(({ title, text }) => h("li", {}, `${title}: ${text}`)))),
  ].filter(Boolean);
}

function figures(measurements, leadCount) {
  const heads = ["Figure", "Value", "Confidence", "Leads", "Beats"];
  return h("table", { className: "figures" },
    h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, measurements.map(({ title, value, unit, confidence, leads, beats }) => h("tr", {},
      h("th", { scope: "row" }, title), h("td", { className: "number" }, `${value.toFixed(0)} ${unit}`),
      h("td", { className: "number" }, confidence.toFixed(2)),
      h("td", {}, leads.length === leadCount ? "all" : leads.join(", ")),
      h("td", { className: "number" }, beats.length)))));
}
