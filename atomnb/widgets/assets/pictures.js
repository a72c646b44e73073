// A few small images side by side: pixels, rings over them, a scale bar, a caption and a legend.

function niceNumber(target) {
  const power = 10 ** Math.floor(Math.log10(target));
  return power * ([5, 2, 1].find((step) => step * power <= target) ?? 1);
}

function element(tag, className) {
  const node = document.createElement(tag);
  node.className = className;
  return node;
}

class Frame {
  constructor() {
    this.node = element("figure", "an-figure");
    this.canvas = element("canvas", "an-figure-canvas");
    const caption = element("figcaption", "");
    [this.title, this.legend, this.note] = ["b", "span", "small"].map((tag) => element(tag, ""));
    this.legend.className = "an-figure-legend";
    caption.append(this.title, this.legend);
    this.node.append(caption, this.canvas, this.note);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas);
  }

  show(picture) {
    this.picture = picture;
    this.title.textContent = picture.title;
    this.note.textContent = picture.note;
    this.note.hidden = !picture.note;
    this.legend.replaceChildren(...picture.legend.map(({ name, colour }) => {
      const item = element("span", picture.filled ? "an-filled" : "");
      const dot = element("i", "");
      dot.style.borderColor = colour;
      if (picture.filled) dot.style.background = colour;
      item.append(dot, name);
      return item;
    }));
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${picture.title}. ${picture.note}`);
    this.canvas.style.aspectRatio = `${picture.width} / ${picture.height}`;
    const rgb = new Uint8Array(picture.pixels.buffer, picture.pixels.byteOffset, picture.pixels.byteLength);
    const data = new ImageData(picture.width, picture.height);
    for (let i = 0, j = 0; i < rgb.length; i += 3, j += 4) {
      data.data[j] = rgb[i];
      data.data[j + 1] = rgb[i + 1];
      data.data[j + 2] = rgb[i + 2];
      data.data[j + 3] = 255;
    }
    this.source = element("canvas", "");
    this.source.width = picture.width;
    this.source.height = picture.height;
    this.source.getContext("2d").putImageData(data, 0, 0);
    this.draw();
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.source || !width || !height) return;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const c = this.canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.imageSmoothingEnabled = this.picture.smooth || width < this.picture.width;
    c.drawImage(this.source, 0, 0, width, height);
    const scale = width / this.picture.width;
    this.drawMarks(c, scale);
    if (this.picture.per_pixel) this.drawBar(c, scale, height);
    this.node.dataset.drawn = "true";
  }

  drawMarks(c, scale) {
    const bytes = this.picture.marks;
    const marks = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    c.lineWidth = 1.4;
    for (let i = 0; i < marks.length; i += 3) {
      c.strokeStyle = this.picture.colours[marks[i + 2] % this.picture.colours.length];
      c.beginPath();
      c.arc((marks[i + 1] + 0.5) * scale, (marks[i] + 0.5) * scale, Math.max(4.5, 2.2 * Math.sqrt(scale)), 0, 2 * Math.PI);
      c.stroke();
    }
  }

  drawBar(c, scale, height) {
    const { per_pixel: perPixel, unit, width: pixels } = this.picture;
    const length = niceNumber(0.28 * pixels * perPixel);
    const width = (length / perPixel) * scale;
    const text = unit === "Å" && length >= 10 ? `${length / 10} nm` : `${Number(length.toPrecision(2))} ${unit}`;
    c.fillStyle = "rgb(0 0 0 / 55%)";
    c.beginPath();
    c.roundRect(8, height - 34, Math.max(width, 36) + 12, 27, 5);
    c.fill();
    c.fillStyle = "#fff";
    c.fillRect(14, height - 14, width, 3);
    c.font = "600 11.5px system-ui, sans-serif";
    c.fillText(text, 14, height - 19);
  }
}

function render({ model, el }) {
  const grid = element("div", "an-pictures");
  const frames = [];
  const show = () => {
    grid.style.setProperty("--an-per-row", model.get("per_row"));
    const pictures = model.get("pictures");
    while (frames.length < pictures.length) frames.push(new Frame());
    for (const extra of frames.splice(pictures.length)) extra.observer.disconnect();
    grid.replaceChildren(...frames.map((frame) => frame.node));
    pictures.forEach((picture, k) => frames[k].show(picture));
    grid.dataset.count = String(pictures.length);
  };
  model.on("change:pictures", show);
  model.on("change:per_row", show);
  show();
  el.append(grid);
  return () => frames.forEach((frame) => frame.observer.disconnect());
}

export default { render };
