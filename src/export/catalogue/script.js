"use strict";
// Every rule is there without this script; it searches, and opens the rule that the address names.
(() => {
  const $ = (id) => document.getElementById(id);
  document.documentElement.classList.add("scripted");
  const all = [...document.querySelectorAll(".rule")];
  const words = new Map(all.map((it) => [it, `${it.textContent} ${it.dataset.words}`.toLowerCase()]));

  const show = () => {
    const asked = $("query").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [language, category, severity] = ["language", "category", "severity"].map((id) => $(id).value);
    let shown = 0;
    for (const it of all) {
      const fits =
        (!category || it.dataset.category === category) &&
        (!severity || it.dataset.severity === severity) &&
        (!language || it.dataset.languages.split("|").includes(language)) &&
        asked.every((word) => words.get(it).includes(word));
      it.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    $("shown").textContent = shown === all.length ? "" : `${shown} of ${all.length} rules`;
  };

  const openNamed = () => {
    const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (named instanceof HTMLDetailsElement) {
      named.open = true;
      named.scrollIntoView();
    }
  };

  $("filters").addEventListener("input", show);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", openNamed);
  show();
  openNamed();
})();
