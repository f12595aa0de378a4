"use strict";
(() => {
  const search = document.querySelector(".search");
  const field = document.getElementById("find");
  const count = document.getElementById("count");
  const hosts = [...document.querySelectorAll(".host")];
  if (!search) return;
  const shown = (host) => getComputedStyle(host).display !== "none";
  const apply = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const host of hosts) {
      const text = host.textContent.toLowerCase();
      host.hidden = !words.every((word) => text.includes(word));
    }
    count.textContent = `${hosts.filter(shown).length} of ${hosts.length} hosts shown`;
  };
  search.hidden = false;
  field.addEventListener("input", apply);
  document.querySelector(".filters").addEventListener("change", apply);
  apply();
})();
