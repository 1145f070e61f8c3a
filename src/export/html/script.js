"use strict";
// Everything on this page is there without this script; it adds filtering, sorting and printing.
(() => {
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  root.classList.add("scripted");

  $("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  const text = (cell) => cell.textContent.trim();
  const number = (value) => (/^[–-]?$/.test(value) ? -1 : parseFloat(value.replace(/[^\d.-]/g, "")));
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("num");
        const was = head.getAttribute("aria-sort");
        const up = was ? was === "descending" : !numeric;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const [x, y] = [text(a.cells[column]), text(b.cells[column])];
          const order = numeric ? number(x) - number(y) : x.localeCompare(y, undefined, { numeric: true });
          return up ? order : -order;
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  // Folded parts are part of the paper, too: all that is short, and the findings that matter most.
  let opened = [];
  const unfold = () => {
    const worst = document.querySelectorAll(".finding.critical:not([hidden]), .finding.high:not([hidden])");
    opened = [...document.querySelectorAll("details.fold"), ...[...worst].slice(0, 200)].filter((it) => !it.open);
    opened.forEach((it) => (it.open = true));
  };
  addEventListener("beforeprint", unfold);
  addEventListener("afterprint", () => opened.forEach((it) => (it.open = false)));

  const form = $("filters");
  const toFindings = () => $("findings").scrollIntoView();
  if (!form) {
    for (const button of document.querySelectorAll("[data-only]")) button.addEventListener("click", toFindings);
    return;
  }
  const list = $("list");
  const all = [...list.children];
  const words = new Map(all.map((it) => [it, it.textContent.toLowerCase()]));
  const boxes = [...form.querySelectorAll("[name=severity]")];
  const choices = ["category", "rule", "file", "state"].map($).filter(Boolean);

  const apply = () => {
    const wanted = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const severities = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let shown = 0;
    for (const it of all) {
      const fits =
        severities.has(it.dataset.severity) &&
        choices.every((choice) => !choice.value || it.dataset[choice.id] === choice.value) &&
        wanted.every((word) => words.get(it).includes(word));
      it.hidden = !fits;
      shown += fits;
    }
    $("shown").textContent = shown === all.length ? `All ${shown} findings` : `${shown} of ${all.length} findings`;
  };

  const ranks = { critical: 4, high: 3, medium: 2, low: 1, info: 0 };
  const bySeverity = (a, b) => ranks[b.dataset.severity] - ranks[a.dataset.severity];
  const byPlace = (a, b) => a.dataset.file.localeCompare(b.dataset.file) || a.dataset.line - b.dataset.line;
  const orders = {
    severity: (a, b) => bySeverity(a, b) || byPlace(a, b),
    file: byPlace,
    rule: (a, b) => a.dataset.rule.localeCompare(b.dataset.rule) || byPlace(a, b),
    confidence: (a, b) => "low medium high".indexOf(b.dataset.confidence) - "low medium high".indexOf(a.dataset.confidence) || bySeverity(a, b),
  };
  const sort = () => list.append(...all.sort(orders[$("order").value]));

  let waiting;
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, event.target.id === "search" ? 120 : 0);
  });
  $("order").addEventListener("change", sort);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { sort(); apply(); }));
  $("expand").addEventListener("click", (event) => {
    const open = event.target.textContent === "Open all";
    all.filter((it) => !it.hidden).forEach((it) => (it.open = open));
    event.target.textContent = open ? "Close all" : "Open all";
  });

  const only = (change) => {
    form.reset();
    setTimeout(() => { change(); apply(); toFindings(); });
  };
  for (const button of document.querySelectorAll("[data-only]")) {
    button.addEventListener("click", () => only(() => boxes.forEach((box) => (box.checked = box.value === button.dataset.only))));
  }
  for (const kind of ["rule", "file"]) {
    for (const button of document.querySelectorAll(`button[data-${kind}]`)) {
      button.addEventListener("click", () => only(() => ($(kind).value = button.dataset[kind])));
    }
  }
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      $("search").focus();
    }
  });
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
  apply();
})();
