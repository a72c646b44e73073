// A table in pages: the kernel holds the rows and sends one page at a time.

function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "an-table";
  box.innerHTML = '<div class="an-table-scroll"><table><thead></thead><tbody></tbody></table></div><div class="an-pager"></div>';
  const [head, body, pager] = ["thead", "tbody", ".an-pager"].map((what) => box.querySelector(what));
  el.append(box);

  const cell = (tag, text) => {
    const node = document.createElement(tag);
    node.textContent = text;
    return node;
  };
  const show = () => {
    const { columns, rows, ids, remarks, first, total, size, sort, descending, none } = model.get("page");
    head.replaceChildren();
    body.replaceChildren();
    pager.replaceChildren();
    if (!columns) return;
    const top = document.createElement("tr");
    for (const column of columns) {
      const th = cell("th", column.label + (column.name === sort ? (descending ? " ↓" : " ↑") : ""));
      th.title = `${column.title}. Click to sort.`;
      th.onclick = () => model.send({ kind: "sort", column: column.name });
      top.append(th);
    }
    head.append(top);
    rows.forEach((row, k) => {
      const tr = document.createElement("tr");
      tr.dataset.atom = ids[k];
      tr.setAttribute("aria-selected", String(ids[k] === model.get("current")));
      row.forEach((text) => {
        const td = cell("td", text);
        td.title = text;
        tr.append(td);
      });
      tr.lastChild.title = remarks?.[k] ?? "";
      tr.onclick = () => model.send({ kind: "atom", atom: ids[k] });
      body.append(tr);
    });
    const step = (label, title, to, off) => {
      const button = cell("button", label);
      button.className = "an-tool an-text";
      button.title = title;
      button.disabled = off;
      button.onclick = () => model.send({ kind: "page", first: to });
      return button;
    };
    const last = Math.max(0, Math.floor((total - 1) / size) * size);
    pager.append(
      step("«", "First page", 0, first <= 0), step("‹", "Previous page", first - size, first <= 0),
      cell("span", total ? `${first + 1}–${Math.min(first + size, total)} of ${total}` : none ?? "no atoms"),
      step("›", "Next page", first + size, first >= last), step("»", "Last page", last, first >= last),
    );
  };
  model.on("change:page", show);
  model.on("change:current", show);
  show();
}

export default { render };
