"use strict";
const form = document.querySelector("form.filters");
const count = document.getElementById("count");
const pages = [...document.querySelectorAll("tbody tr")];

function show() {
  const { words, status, warning, quality } = Object.fromEntries(new FormData(form));
  const wanted = words.trim().toLowerCase();
  let shown = 0;
  for (const page of pages) {
    const { status: its, warnings, quality: own } = page.dataset;
    page.hidden = !(
      (!status || its === status) &&
      (!warning || warnings.split(" ").includes(warning)) &&
      (!quality || own === "" || Number(own) <= Number(quality)) &&
      (!wanted || page.textContent.toLowerCase().includes(wanted))
    );
    shown += !page.hidden;
  }
  count.textContent = `${shown} of ${pages.length} pages`;
}

form.hidden = false;
for (const kind of ["input", "change"]) form.addEventListener(kind, show);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(show));
show();
