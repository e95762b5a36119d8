"use strict";
/* Without this script the page is complete: tables stay in order. */

function valueOf(cell) {
  const first = cell.innerText.split("\n")[0].trim();
  const number = parseFloat(first.replace(/\u2212/g, "-").replace(/,/g, "").replace(/^[<>]\s*/, ""));
  return { first, number: /^[<>]?\s*[-\u2212+]?\d/.test(first) ? number : NaN };
}

function compare(a, b, sign) {
  if (isNaN(a.number) !== isNaN(b.number)) return isNaN(a.number) ? 1 : -1;
  if (!isNaN(a.number)) return sign * (a.number - b.number);
  return sign * a.first.localeCompare(b.first, "en");
}

function sortBy(table, index, sign) {
  const body = table.tBodies[0];
  const bundles = [];
  for (const row of body.rows) {
    if (row.classList.contains("remark")) bundles[bundles.length - 1].push(row);
    else bundles.push([row]);
  }
  const keyed = bundles.map((rows) => ({ rows, key: valueOf(rows[0].cells[index]) }));
  keyed.sort((a, b) => compare(a.key, b.key, sign));
  for (const { rows } of keyed) body.append(...rows);
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => {
    const title = head.querySelector(".title");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    title.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      sortBy(table, index, sign);
    });
  });
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
