/* Looks at a report's page from inside; see test_reports_browser.py. */
const result = {};
const lum = (c) => {
  const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const rgb = (text) => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
const ground = (node) => {
  for (let one = node; one; one = one.parentElement) {
    const c = rgb(getComputedStyle(one).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
  }
  return [255, 255, 255];
};
const worst = { ratio: 99, what: "" };
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
  const pair = [lum(rgb(getComputedStyle(node).color).slice(0, 3)), lum(ground(node))].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (ratio < worst.ratio) { worst.ratio = ratio; worst.what = node.outerHTML.slice(0, 80); }
}
result.contrast = worst;
const table = document.querySelector("table.sortable");
const column = () => [...table.tBodies[0].rows].filter((r) => !r.classList.contains("remark")).map((r) => valueOf(r.cells[4]).number);
const button = table.tHead.rows[0].cells[4].querySelector("button");
button.click();
result.ascending = column();
result.sorted = table.tHead.rows[0].cells[4].getAttribute("aria-sort");
button.click();
result.descending = column();
result.remarks = [...table.tBodies[0].rows].map((r) => r.className);
const frames = [...document.querySelectorAll("#figure-slide .frame")].map((one) => one.getBoundingClientRect());
result.tops = frames.map((one) => Math.round(one.top));
result.widths = frames.map((one) => Math.round(one.width));
const cards = document.querySelector(".cards");
result.shown = [...cards.querySelectorAll("tbody tr:first-child td")].map((c) => c.getBoundingClientRect().right - document.documentElement.clientWidth);
result.legends = [...document.querySelectorAll(".plot svg")].map((s) => s.getBoundingClientRect().right - document.documentElement.clientWidth);
result.titles = cards.querySelector("tbody td") ? getComputedStyle(cards.querySelector("tbody td"), "::before").content : "";
result.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
result.requests = performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length;
result.dark = matchMedia("(prefers-color-scheme: dark)").matches;
const out = document.createElement("pre");
out.id = "probe";
out.textContent = JSON.stringify(result);
document.body.append(out);
