// A list to choose from: samples, or the files of a folder.

const ICONS = {
  folder: '<path d="M3 6.5A1.5 1.5 0 0 1 4.5 5H9l2 2h8.5A1.5 1.5 0 0 1 21 8.5v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5z"/>',
  up: '<path d="M12 19V6M6 11l6-6 6 6"/>',
  image: '<rect x="3.5" y="4.5" width="17" height="15" rx="1.5"/><circle cx="9" cy="10" r="1.6"/><path d="m4 17 5-4 4 3 3-2.5 4 3"/>',
};

function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "an-files";
  const filter = document.createElement("input");
  filter.className = "an-filter";
  filter.type = "search";
  filter.placeholder = "Filter";
  filter.setAttribute("aria-label", "Filter the list");
  const list = document.createElement("div");
  list.className = "an-list";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", model.get("label"));
  const place = document.createElement("div");
  place.className = "an-place-line";
  const heading = document.createElement("div");
  heading.className = "an-place";
  const again = document.createElement("button");
  again.className = "an-again";
  again.textContent = "↻";
  again.title = "List the folder again";
  again.setAttribute("aria-label", again.title);
  again.onclick = () => model.send({ kind: "list" });
  place.append(heading, again);
  box.append(place, filter, list);
  el.append(box);

  // The list alone is scrolled: scrollIntoView would move the page too.
  const reveal = () => {
    const row = list.querySelector('[aria-selected="true"]');
    if (!row) return;
    const [top, bottom] = [row.offsetTop - list.offsetTop - 4, row.offsetTop - list.offsetTop + row.offsetHeight + 4];
    if (top < list.scrollTop) list.scrollTop = top;
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
  };
  const show = () => {
    const items = model.get("items");
    heading.textContent = model.get("heading");
    place.hidden = !model.get("heading");
    again.hidden = !model.get("can_list_again");
    heading.title = model.get("heading");
    filter.hidden = items.length < 12;
    const top = list.scrollTop;
    const words = filter.hidden ? "" : filter.value.toLowerCase();
    list.replaceChildren();
    for (const item of items) {
      if (words && item.icon !== "up" && !item.name.toLowerCase().includes(words)) continue;
      const row = document.createElement("button");
      row.className = "an-item";
      row.dataset.key = item.key;
      row.dataset.icon = item.icon;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", String(item.key === model.get("chosen") && item.icon === "image"));
      row.title = item.title ?? item.name;
      row.innerHTML = `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">${ICONS[item.icon]}</svg><span class="an-item-name"></span><span class="an-item-end"></span><span class="an-item-note"></span>`;
      // The end of a long file name tells it from its neighbours: only the middle may be cut.
      const cut = item.name.length > 18 && item.tail ? item.name.length - 9 : item.name.length;
      row.querySelector(".an-item-name").textContent = item.name.slice(0, cut);
      row.querySelector(".an-item-end").textContent = item.name.slice(cut);
      row.querySelector(".an-item-note").textContent = item.note ?? "";
      row.onclick = () => model.send({ kind: "choose", key: item.key });
      list.append(row);
    }
    list.scrollTop = top;
    reveal();
    if (!list.querySelector(".an-item:not([data-icon=up])")) list.append(words ? "Nothing matches." : model.get("empty"));
  };
  new ResizeObserver(reveal).observe(list);
  filter.oninput = show;
  let listed = model.get("heading");
  model.on("change:items", () => {
    if (listed !== model.get("heading")) {
      filter.value = "";
      list.scrollTop = 0;
    }
    listed = model.get("heading");
    show();
  });
  for (const trait of ["heading", "chosen"]) model.on(`change:${trait}`, show);
  show();
  if (model.get("can_list_again")) model.send({ kind: "list" });
}

export default { render };
