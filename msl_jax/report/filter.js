"use strict";

// Shows the images of the class that the address names, as in report.html#class=car, those with the
// most weight in it first. The links of the filter set the address.
(() => {
  const list = document.getElementById("images");
  if (!list) return;
  const links = [...document.querySelectorAll("#filter a")];
  const all = [...list.children];
  // Of each image: its classes, of each class: its weight and a sentence.
  const classes = new Map(
    all.map((item) => [item, new Map(Object.entries(JSON.parse(item.dataset.classes)))]),
  );

  function wanted() {
    const name = new URLSearchParams(location.hash.slice(1)).get("class") ?? "";
    return links.some((link) => link.dataset.class === name) ? name : "";
  }

  function show() {
    const name = wanted();
    const found = (item) => classes.get(item).get(name);
    const shown =
      name === "" ? all : all.filter(found).sort((a, b) => found(b)[0] - found(a)[0]);
    for (const item of all) {
      const note = item.querySelector(".note");
      item.hidden = !shown.includes(item);
      note.hidden = name === "" || item.hidden;
      note.textContent = note.hidden ? "" : `${name}: ${found(item)[1]}`;
    }
    list.append(...shown);
    for (const link of links) {
      if (link.dataset.class === name) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    document.getElementById("shown").textContent =
      name === ""
        ? `${all.length} images`
        : `${shown.length} of ${all.length} images with ${name}, ${list.dataset.order}`;
  }

  addEventListener("hashchange", show);
  show();
  if (wanted() !== "") document.getElementById("gallery").scrollIntoView();
})();
