// Types of defects: a picture, a name and how many of each; one page of them at a time.

function element(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function thumbnail({ pixels, height, width }) {
  const canvas = element("canvas", "an-thumb");
  canvas.width = width;
  canvas.height = height;
  const grey = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  const data = new ImageData(width, height);
  for (let i = 0; i < grey.length; i++) data.data.set([grey[i], grey[i], grey[i], 255], 4 * i);
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}

function render({ model, el }) {
  const list = element("div", "an-gallery");
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Types of defects");
  const pager = element("div", "an-pager");
  el.append(list, pager);

  const card = (item) => {
    const node = element("button", "an-type");
    node.dataset.type = item.name;
    node.title = item.name;
    node.setAttribute("role", "option");
    const middle = element("span", "an-type-text");
    middle.append(element("b", "", item.label), element("span", "", item.note));
    const meter = element("i", "an-meter");
    meter.title = `Median confidence ${item.confidence.toFixed(2)}`;
    const level = element("i", "");
    level.style.width = `${Math.round(100 * item.confidence)}%`;
    meter.append(level);
    middle.append(meter);
    node.append(thumbnail(item), middle, element("span", "an-type-count", String(item.count)));
    node.onclick = () => model.send({ kind: "choose", name: item.name });
    return node;
  };
  const mark = () => {
    for (const node of list.children) node.setAttribute("aria-selected", String(node.dataset.type === model.get("chosen")));
  };
  const show = () => {
    const { items, first, total, size } = model.get("page");
    list.replaceChildren(...(items ?? []).map(card));
    pager.replaceChildren();
    pager.hidden = !(total > size);
    if (!pager.hidden) {
      const step = (label, title, to, off) => {
        const button = element("button", "an-tool an-text", label);
        button.title = title;
        button.disabled = off;
        button.onclick = () => model.send({ kind: "page", first: to });
        return button;
      };
      const text = `${first + 1}–${Math.min(first + size, total)} of ${total} types`;
      pager.append(step("‹", "Previous types", first - size, first <= 0), element("span", "", text),
        step("›", "Next types", first + size, first + size >= total));
    }
    mark();
  };
  model.on("change:page", show);
  model.on("change:chosen", mark);
  show();
}

export default { render };
