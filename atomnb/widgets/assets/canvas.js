// The image viewer: tiles on a canvas, atoms over them, and the tools to look, measure and select.

const INK = "#11161c";
const RULER = "#ffe066";
const VACANCY = "#ff5fa2";
const CACHE_TILES = 120;
const FIELDS = 7; // y, x, y_err, x_err, score, group, flags
const BOND_FIELDS = 5; // y, x of one end, y, x of the other, probability
const BOND = "#8fe3d9";
const REJECTED = "#9aa5b1";

const ICONS = {
  pan: '<path d="M12 3v18M3 12h18M12 3 9.5 5.5M12 3l2.5 2.5M12 21l-2.5-2.5M12 21l2.5-2.5M3 12l2.5-2.5M3 12l2.5 2.5M21 12l-2.5-2.5M21 12l-2.5 2.5"/>',
  box: '<rect x="4" y="5" width="16" height="14" stroke-dasharray="3.5 2.5"/>',
  lasso: '<path d="M8 16c-3-1-4.5-3-4-5.5C4.700 7 9 4.5 13.5 5S21 8.5 20 12s-6 5-10 4.5c-1.5-.2-3 .8-2.5 2.300.4 1.200 1.5 2 .5 2.7" stroke-dasharray="3.5 2.300"/>',
  ruler: '<path d="m3 16 13-13 5 5L8 21zM7 12l2 2M10 9l2.5 2.5M13 6l2 2"/>',
};
const TOOLS = [
  ["pan", "Move: drag to pan, wheel to zoom, click an atom"],
  ["box", "Select atoms in a box (or hold Shift and drag)"],
  ["lasso", "Select atoms in a loop"],
  ["ruler", "Measure: click two points"],
];

function element(tag, className, attributes = {}) {
  const node = document.createElement(tag);
  node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function niceNumber(target) {
  const power = 10 ** Math.floor(Math.log10(target));
  return power * ([5, 2, 1].find((step) => step * power <= target) ?? 1);
}

function digits(value, significant = 4) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(significant))) : "–";
}

function length(angstrom) {
  if (angstrom < 0.1) return `${digits(angstrom * 100, 2)} pm`;
  return angstrom < 10 ? `${digits(angstrom, 3)} Å` : `${digits(angstrom / 10, 4)} nm`;
}

function bytesOf(view) {
  return view ? view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) : new ArrayBuffer(0);
}

class Viewer {
  constructor(model, root) {
    this.model = model;
    this.tiles = new Map();
    this.pending = new Set();
    this.scale = 1;
    this.origin = [0, 0]; // screen position of image corner (-0.5, -0.5): [x, y]
    this.pointer = null;
    this.drag = null;
    this.black = 0;
    this.white = 1;
    this.inverted = false;
    this.lutVersion = 0;
    this.build(root);
    this.listen();
    this.takeView();
    this.takeAtoms();
    this.takeStructure();
  }

  // ---------- page elements ----------
  build(root) {
    this.root = element("div", "an-viewer");
    const bar = element("div", "an-viewer-bar", { role: "toolbar", "aria-label": "Image tools" });
    this.toolButtons = {};
    const tools = element("div", "an-group");
    for (const [name, title] of TOOLS) {
      const button = element("button", "an-tool", { title, "aria-label": title, "data-tool": name });
      button.innerHTML = `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round">${ICONS[name]}</svg>`;
      button.onclick = () => this.set("tool", name);
      this.toolButtons[name] = button;
      tools.append(button);
    }
    const zoom = element("div", "an-group");
    for (const [label, title, act] of [
      ["−", "Zoom out", () => this.zoomBy(1 / 1.5)],
      ["Fit", "Show the whole image", () => this.fit()],
      ["+", "Zoom in", () => this.zoomBy(1.5)],
    ]) {
      const button = element("button", "an-tool an-text", { title, "aria-label": title });
      button.textContent = label;
      button.onclick = act;
      zoom.append(button);
    }
    this.viewButtons = [...zoom.children];
    const layers = element("div", "an-group an-layers");
    this.layerButtons = {};
    for (const [trait, label, title] of [
      ["show_atoms", "Atoms", "Show or hide the atoms"],
      ["show_bonds", "Bonds", "Show or hide the bonds"],
      ["show_certainty", "Certainty", "Colour the bonds by their probability"],
      ["show_rings", "Rings", "Show the rings that are not the crystal's, by size"],
      ["show_outlines", "Defects", "Show the outlines and names of the defects"],
      ["show_probability", "Probability", "Show what the network sees: the probability of an atom"],
      ["show_errors", "Errors", "Show the position errors as ellipses, magnified"],
    ]) {
      const button = element("button", "an-tool an-text an-toggle", { title, "data-layer": trait });
      button.textContent = label;
      button.onclick = () => this.set(trait, !this.model.get(trait));
      this.layerButtons[trait] = button;
      layers.append(button);
    }
    const contrast = this.buildContrast();
    bar.append(tools, zoom, layers, contrast);
    this.viewButtons.push(contrast.firstChild);

    this.stage = element("div", "an-stage");
    this.canvas = element("canvas", "an-canvas", { tabindex: "0", "aria-label": "Image. Arrow keys pan, + and - zoom, 0 fits." });
    this.emptyNote = element("div", "an-empty");
    this.legend = element("div", "an-legend");
    this.legend.hidden = true;
    this.busyNote = element("div", "an-busy", { role: "status" });
    this.busyNote.append(element("span", ""));
    this.stage.append(this.canvas, this.emptyNote, this.legend, this.busyNote);
    this.status = element("div", "an-status");
    this.where = element("span", "an-where");
    this.what = element("span", "an-what");
    this.status.append(this.where, this.what);
    this.root.append(bar, this.stage, this.status);
    root.append(this.root);
    this.context = this.canvas.getContext("2d");
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.stage);
  }

  buildContrast() {
    const holder = element("div", "an-group an-contrast");
    const button = element("button", "an-tool an-text", { title: "Brightness and contrast", "aria-expanded": "false" });
    button.textContent = "Contrast";
    const panel = element("div", "an-popover");
    panel.hidden = true;
    button.onclick = () => {
      panel.hidden = !panel.hidden;
      button.setAttribute("aria-expanded", String(!panel.hidden));
    };
    const slider = (text, name) => {
      const row = element("label", "an-row");
      const input = element("input", "", { type: "range", min: "0", max: "1", step: "0.001" });
      input.oninput = () => {
        this[name] = Number(input.value);
        if (name === "black") this.white = Math.max(this.white, this.black + 0.001);
        else this.black = Math.min(this.black, this.white - 0.001);
        this.retone();
      };
      row.append(text, input);
      panel.append(row);
      return input;
    };
    this.blackInput = slider("Black", "black");
    this.whiteInput = slider("White", "white");
    const row = element("div", "an-row");
    const auto = element("button", "an-tool an-text", { title: "Ignore the darkest and brightest 0.3 %" });
    auto.textContent = "Auto";
    auto.onclick = () => this.autoContrast();
    const invert = element("button", "an-tool an-text an-toggle", { title: "Swap black and white" });
    invert.textContent = "Invert";
    invert.onclick = () => {
      this.inverted = !this.inverted;
      invert.setAttribute("aria-pressed", String(this.inverted));
      this.retone();
    };
    row.append(auto, invert);
    panel.append(row);
    holder.append(button, panel);
    return holder;
  }

  // ---------- model ----------
  set(trait, value) {
    this.model.set(trait, value);
    this.model.save_changes();
  }

  listen() {
    const on = (traits, act) => traits.forEach((name) => this.model.on(`change:${name}`, act));
    on(["view"], () => this.takeView());
    on(["atoms", "species", "vacancies"], () => this.takeAtoms());
    on(["bonds", "rings", "outlines"], () => this.takeStructure());
    on(["overlay", "threshold", "selected", "current", "points", "spacing", "pixel_size", "show_atoms",
      "show_probability", "show_errors", "show_bonds", "show_certainty", "show_rings", "show_outlines", "marked", "outline", "tool", "hint", "busy", "layers", "tools", "group_names", "true"], () => this.refresh());
    this.model.on("msg:custom", (message, buffers) => {
      if (message.kind === "tile") this.takeTile(message, buffers[0]);
      if (message.kind === "picture") this.savePicture(message.name);
      if (message.kind === "look_at") this.lookAt(message.y, message.x);
    });
    const c = this.canvas;
    c.addEventListener("pointerdown", (e) => this.down(e));
    c.addEventListener("pointermove", (e) => this.move(e));
    c.addEventListener("pointerup", (e) => this.up(e));
    c.addEventListener("pointerleave", () => { this.pointer = null; this.say(); });
    c.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.zoomBy(Math.exp(-e.deltaY * (e.deltaMode === 1 ? 0.05 : 0.0015)), e.offsetX, e.offsetY);
    }, { passive: false });
    c.addEventListener("keydown", (e) => this.key(e));
  }

  takeView() {
    const previous = this.view;
    this.view = this.model.get("view");
    const same = previous?.height === this.view.height && previous?.width === this.view.width
      && previous?.name === this.view.name;
    this.tiles.clear();
    this.pending.clear();
    this.emptyNote.hidden = Boolean(this.view.version);
    if (this.view.version && !same) {
      this.autoContrast();
      this.fit();
    }
    this.refresh();
  }

  takeAtoms() {
    this.data = new Float32Array(bytesOf(this.model.get("atoms")));
    this.count = Math.floor(this.data.length / FIELDS);
    this.grid = new Map();
    for (let i = 0; i < this.count; i++) {
      const key = this.cell(this.data[i * FIELDS], this.data[i * FIELDS + 1]);
      if (!this.grid.has(key)) this.grid.set(key, []);
      this.grid.get(key).push(i);
    }
    const sites = new Float32Array(bytesOf(this.model.get("vacancies")));
    this.vacancies = Array.from({ length: Math.floor(sites.length / 3) }, (_, i) => sites.subarray(3 * i, 3 * i + 3));
    const errors = [];
    for (let i = 0; i < this.count; i += Math.max(1, Math.floor(this.count / 500))) {
      const e = this.data[i * FIELDS + 2];
      if (e > 0) errors.push(e);
    }
    errors.sort((a, b) => a - b);
    this.medianError = errors[errors.length >> 1] ?? 0;
    this.refresh();
  }

  takeStructure() {
    this.bonds = new Float32Array(bytesOf(this.model.get("bonds")));
    const lines = (name) => this.model.get(name).map((line) => ({ ...line, points: new Float32Array(bytesOf(line.points)) }));
    this.rings = lines("rings");
    this.outlines = lines("outlines");
    this.refresh();
  }

  cell(y, x) { return Math.floor(y / 16) * 65536 + Math.floor(x / 16); }

  shown(i) { return this.data[i * FIELDS + 4] >= this.model.get("threshold"); }

  refresh() {
    this.emptyNote.textContent = this.model.get("hint");
    const busy = this.model.get("busy");
    this.busyNote.dataset.on = String(Boolean(busy));
    if (busy) this.busyNote.firstChild.textContent = busy;
    for (const [name, button] of Object.entries(this.toolButtons)) {
      button.setAttribute("aria-pressed", String(this.model.get("tool") === name));
      button.disabled = !this.view?.version;
      button.hidden = !this.model.get("tools").includes(name);
    }
    for (const button of this.viewButtons) button.disabled = !this.view?.version;
    const why = { show_atoms: this.count > 0, show_bonds: this.bonds?.length > 0, show_certainty: this.bonds?.length > 0,
      show_rings: this.rings?.length > 0, show_outlines: this.outlines?.length > 0, show_probability: Boolean(this.model.get("overlay").version), show_errors: this.medianError > 0 };
    for (const [trait, button] of Object.entries(this.layerButtons)) {
      button.hidden = !this.model.get("layers").includes(trait);
      button.setAttribute("aria-pressed", String(this.model.get(trait) && why[trait]));
      button.disabled = !why[trait];
      button.dataset.title ??= button.title;
      const missing = this.model.get("layers").includes("show_bonds") ? "Find the defects first" : "Find the atoms first";
      button.title = why[trait] ? button.dataset.title : why.show_bonds ? "There are none" : missing;
    }
    this.selection = new Set(new Int32Array(bytesOf(this.model.get("selected"))));
    this.say();
    this.redraw();
  }

  // ---------- view ----------
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    const first = !this.width;
    const keep = first ? null : this.imageAt(this.width / 2, this.height / 2);
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.ratio = ratio;
    if (first || this.fitted) this.fit();
    else if (keep) this.centre(...keep);
    this.redraw();
  }

  imageAt(sx, sy) { return [(sy - this.origin[1]) / this.scale - 0.5, (sx - this.origin[0]) / this.scale - 0.5]; }

  screenAt(y, x) { return [(x + 0.5) * this.scale + this.origin[0], (y + 0.5) * this.scale + this.origin[1]]; }

  fit() {
    if (!this.view?.version || !this.width) return;
    this.scale = 0.985 * Math.min(this.width / this.view.width, this.height / this.view.height);
    this.centre(this.view.height / 2 - 0.5, this.view.width / 2 - 0.5);
    this.fitted = true;
  }

  centre(y, x) {
    this.origin = [this.width / 2 - (x + 0.5) * this.scale, this.height / 2 - (y + 0.5) * this.scale];
    this.redraw();
  }

  // Move the image just so far that the point is well inside the view; not at all if it is in sight.
  lookAt(y, x) {
    const [sx, sy] = this.screenAt(y, x);
    const shift = (at, size) => (at >= 0 && at <= size ? 0 : Math.min(0.8 * size, Math.max(0.2 * size, at)) - at);
    const [dx, dy] = [shift(sx, this.width), shift(sy, this.height)];
    if (dx || dy) this.fitted = false;
    this.origin = [this.origin[0] + dx, this.origin[1] + dy];
    this.redraw();
  }

  zoomBy(factor, sx = this.width / 2, sy = this.height / 2) {
    if (!this.view?.version) return;
    const lowest = 0.5 * Math.min(this.width / this.view.width, this.height / this.view.height);
    const scale = Math.min(80, Math.max(Math.min(lowest, 1), this.scale * factor));
    const applied = scale / this.scale;
    this.origin = [sx - (sx - this.origin[0]) * applied, sy - (sy - this.origin[1]) * applied];
    this.scale = scale;
    this.fitted = false;
    this.say();
    this.redraw();
  }

  autoContrast() {
    [this.black, this.white] = this.view.contrast ?? [0, 1];
    this.retone();
  }

  retone() {
    this.blackInput.value = this.black;
    this.whiteInput.value = this.white;
    this.lutVersion += 1;
    this.lut = new Uint8Array(65536);
    const low = this.black * 65535;
    const span = Math.max(1, (this.white - this.black) * 65535);
    for (let i = 0; i < 65536; i++) {
      const grey = Math.min(255, Math.max(0, ((i - low) / span) * 255));
      this.lut[i] = this.inverted ? 255 - grey : grey;
    }
    this.redraw();
  }

  // ---------- tiles ----------
  ask(layer, description, level, row, column) {
    const key = `${layer}/${description.version}/${level}/${row}/${column}`;
    const tile = this.tiles.get(key);
    if (tile) {
      this.tiles.delete(key); // most recently used last
      this.tiles.set(key, tile);
      return tile;
    }
    if (!this.pending.has(key) && this.pending.size < 12) {
      this.pending.add(key);
      this.model.send({ kind: "tile", key, layer, version: description.version, level, row, column });
    }
    return null;
  }

  takeTile(message, buffer) {
    this.pending.delete(message.key);
    const layer = message.key.split("/")[0];
    const raw = layer === "image" ? new Uint16Array(bytesOf(buffer)) : new Uint8Array(bytesOf(buffer));
    const picture = element("canvas", "");
    picture.width = message.width;
    picture.height = message.height;
    this.tiles.set(message.key, { layer, raw, picture, width: message.width, height: message.height, toned: -1 });
    while (this.tiles.size > CACHE_TILES) this.tiles.delete(this.tiles.keys().next().value);
    this.say();
    this.redraw();
  }

  tone(tile) {
    if (tile.toned === this.lutVersion || (tile.layer !== "image" && tile.toned >= 0)) return tile.picture;
    const context = tile.picture.getContext("2d");
    const out = context.createImageData(tile.width, tile.height);
    const words = new Uint32Array(out.data.buffer);
    const { raw } = tile;
    if (tile.layer === "image") {
      for (let i = 0; i < raw.length; i++) {
        const grey = this.lut[raw[i]];
        words[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
      }
    } else {
      for (let i = 0; i < raw.length; i++) words[i] = ((raw[i] * 0.8) << 24) | 0x00a6e22e;
    }
    context.putImageData(out, 0, 0);
    tile.toned = this.lutVersion;
    return tile.picture;
  }

  drawLayer(layer, description) {
    const { tile: side, levels } = description;
    const wanted = Math.min(levels.length - 1, Math.max(0, Math.floor(Math.log2(1 / this.scale) + 0.35)));
    const c = this.context;
    c.save();
    c.beginPath();
    c.rect(this.origin[0], this.origin[1], description.width * this.scale, description.height * this.scale);
    c.clip();
    // The coarsest level first, so that something is always there; finer ones over it as they come.
    for (const level of new Set([levels.length - 1, wanted])) {
      const step = side * 2 ** level * this.scale;
      const [rows, columns] = levels[level].map((n) => Math.ceil(n / side));
      const from = (origin) => Math.max(0, Math.floor(-origin / step));
      const to = (origin, size, count) => Math.min(count, Math.ceil((size - origin) / step));
      c.imageSmoothingEnabled = 2 ** level * this.scale < 4;
      for (let row = from(this.origin[1]); row < to(this.origin[1], this.height, rows); row++) {
        for (let column = from(this.origin[0]); column < to(this.origin[0], this.width, columns); column++) {
          const tile = this.ask(layer, description, level, row, column);
          if (!tile) continue;
          const pixel = 2 ** level * this.scale;
          c.drawImage(this.tone(tile), this.origin[0] + column * step, this.origin[1] + row * step,
            tile.width * pixel, tile.height * pixel);
        }
      }
    }
    c.restore();
  }

  valueAt(y, x) {
    const [row, column] = [Math.round(y), Math.round(x)];
    if (row < 0 || column < 0 || row >= this.view.height || column >= this.view.width) return null;
    for (let level = 0; level < this.view.levels.length; level++) {
      const [r, k] = [row >> level, column >> level];
      const side = this.view.tile;
      const tile = this.tiles.get(`image/${this.view.version}/${level}/${Math.floor(r / side)}/${Math.floor(k / side)}`);
      if (!tile) continue;
      const raw = tile.raw[(r % side) * tile.width + (k % side)];
      return this.view.low + (raw / 65535) * (this.view.high - this.view.low);
    }
    return null;
  }

  // ---------- drawing ----------
  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    if (!this.width) return;
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.fillStyle = INK;
    c.fillRect(0, 0, this.width, this.height);
    if (!this.view?.version) return;
    this.drawLayer("image", this.view);
    const overlay = this.model.get("overlay");
    if (this.model.get("show_probability") && overlay.version) this.drawLayer("probability", overlay);
    if (this.model.get("show_rings")) this.drawRings();
    if (this.model.get("show_bonds")) this.drawBonds();
    if (this.model.get("show_errors")) this.drawErrors();
    if (this.model.get("show_atoms")) {
      this.drawAtoms();
      this.drawVacancies();
    }
    if (this.model.get("show_outlines")) this.drawOutlines();
    this.drawCurrent();
    this.drawTool();
    this.drawScaleBar();
    this.drawLegend();
    this.root.dataset.drawn = String(this.tiles.size > 0);
    this.root.dataset.shown = String(this.visibleCount ?? 0);
  }

  radius() {
    const spacing = this.model.get("spacing") || 12;
    return Math.min(16, 0.26 * spacing * this.scale);
  }

  colourOf(i) {
    const group = this.data[i * FIELDS + 5];
    const colours = this.model.get("colours");
    return group < 0 ? this.model.get("plain_colour") : colours[group % colours.length];
  }

  drawAtoms() {
    const c = this.context;
    const radius = this.radius();
    const groups = new Map();
    let shown = 0;
    this.groupCounts = new Map();
    for (let i = 0; i < this.count; i++) {
      if (!this.shown(i)) continue;
      shown += 1;
      const colour = this.colourOf(i);
      this.groupCounts.set(colour, (this.groupCounts.get(colour) ?? 0) + 1);
      const [sx, sy] = this.screenAt(this.data[i * FIELDS], this.data[i * FIELDS + 1]);
      if (sx < -20 || sy < -20 || sx > this.width + 20 || sy > this.height + 20) continue;
      const key = this.selection.size && !this.selection.has(i) ? `dim ${colour}` : colour;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(sx, sy);
    }
    this.visibleCount = shown;
    for (const [key, positions] of groups) {
      const dim = key.startsWith("dim ");
      c.globalAlpha = dim ? 0.3 : 1;
      c.strokeStyle = c.fillStyle = dim ? key.slice(4) : key;
      if (radius < 2.2) {
        const side = Math.max(1.2, radius * 1.2);
        for (let k = 0; k < positions.length; k += 2) c.fillRect(positions[k] - side / 2, positions[k + 1] - side / 2, side, side);
        continue;
      }
      c.lineWidth = radius > 7 ? 2 : 1.5;
      c.beginPath();
      for (let k = 0; k < positions.length; k += 2) {
        c.moveTo(positions[k] + radius, positions[k + 1]);
        c.arc(positions[k], positions[k + 1], radius, 0, 2 * Math.PI);
      }
      c.stroke();
      if (radius > 9) {
        for (let k = 0; k < positions.length; k += 2) c.fillRect(positions[k] - 1, positions[k + 1] - 1, 2, 2);
      }
    }
    c.globalAlpha = 1;
  }

  // ---------- structure ----------
  trace(points) {
    const path = new Path2D();
    for (let k = 0; k < points.length; k += 2) path.lineTo(...this.screenAt(points[k], points[k + 1]));
    path.closePath();
    return path;
  }

  drawRings() {
    const c = this.context;
    c.globalAlpha = 0.42;
    for (const ring of this.rings) {
      c.fillStyle = ring.colour;
      c.fill(this.trace(ring.points));
    }
    c.globalAlpha = 1;
  }

  drawBonds() {
    const c = this.context;
    const certain = this.model.get("show_certainty");
    // Bonds of one shade are one path: thousands are drawn at once.
    const paths = new Map();
    for (let k = 0; k < this.bonds.length; k += BOND_FIELDS) {
      const [ax, ay] = this.screenAt(this.bonds[k], this.bonds[k + 1]);
      const [bx, by] = this.screenAt(this.bonds[k + 2], this.bonds[k + 3]);
      if (Math.max(ax, bx) < 0 || Math.max(ay, by) < 0 || Math.min(ax, bx) > this.width || Math.min(ay, by) > this.height) continue;
      const shade = certain ? Math.round(10 * this.bonds[k + 4]) : -1;
      if (!paths.has(shade)) paths.set(shade, new Path2D());
      paths.get(shade).moveTo(ax, ay);
      paths.get(shade).lineTo(bx, by);
    }
    c.lineWidth = Math.min(3, Math.max(1, 0.16 * this.radius() + 0.6));
    for (const [shade, path] of paths) {
      c.strokeStyle = shade < 0 ? BOND : this.certainty(shade / 10);
      c.globalAlpha = shade < 0 ? 0.8 : 1;
      c.stroke(path);
    }
    c.globalAlpha = 1;
  }

  certainty(probability) { return `hsl(${Math.round(8 + 160 * probability)} 85% ${Math.round(56 + 8 * probability)}%)`; }

  drawOutlines() {
    const c = this.context;
    const marked = new Set(this.model.get("marked"));
    const current = this.model.get("outline");
    const labels = [];
    for (const line of this.outlines) {
      const dim = marked.size && !marked.has(line.id);
      c.globalAlpha = dim ? 0.35 : 1;
      c.strokeStyle = line.id === current ? "#fff" : line.rejected ? REJECTED : line.colour;
      c.lineWidth = line.id === current ? 3 : 2;
      c.setLineDash(line.rejected ? [5, 4] : []);
      c.stroke(this.trace(line.points));
      if (!dim || line.id === current) labels.push(line);
    }
    c.globalAlpha = 1;
    c.setLineDash([]);
    this.labelOutlines(labels, current);
  }

  // The name of the current defect first, then the others where there is room.
  labelOutlines(lines, current) {
    const c = this.context;
    c.font = "600 13px system-ui, sans-serif";
    const taken = [];
    for (const line of [...lines].sort((a, b) => (b.id === current) - (a.id === current))) {
      const tops = Array.from({ length: line.points.length / 2 }, (_, k) => this.screenAt(line.points[2 * k], line.points[2 * k + 1]))
        .filter(([x, y]) => x > 4 && y > 22 && x < this.width - 4 && y < this.height + 10);
      if (!tops.length) continue;
      const [x, y] = tops.reduce((a, b) => (b[1] < a[1] ? b : a));
      const width = c.measureText(line.label).width;
      const left = Math.min(Math.max(x - width / 2, 6), this.width - width - 6);
      const box = [left - 4, y - 20, left + width + 4, y - 3];
      if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
      taken.push(box);
      this.label(line.label, left, y - 7, line.id === current ? "#fff" : line.rejected ? REJECTED : line.colour);
    }
    this.root.dataset.labels = String(taken.length);
  }

  outlineAt(sx, sy) {
    if (!this.model.get("show_outlines")) return null;
    const c = this.context;
    c.save();
    c.setTransform(1, 0, 0, 1, 0, 0);
    // Of defects inside one another the smallest is meant.
    const inside = this.outlines.filter((line) => c.isPointInPath(this.trace(line.points), sx, sy));
    c.restore();
    return inside.sort((a, b) => a.points.length - b.points.length)[0] ?? null;
  }

  emptySites() {
    const threshold = this.model.get("threshold");
    return this.vacancies.filter(([, , score]) => score >= threshold);
  }

  drawVacancies() {
    const c = this.context;
    const radius = Math.max(4, this.radius());
    const arm = 0.45 * radius;
    c.strokeStyle = VACANCY;
    c.lineWidth = 2;
    c.beginPath();
    for (const [y, x] of this.emptySites()) {
      const [sx, sy] = this.screenAt(y, x);
      c.moveTo(sx + radius, sy);
      c.arc(sx, sy, radius, 0, 2 * Math.PI);
      for (const side of [-1, 1]) {
        c.moveTo(sx - arm, sy - side * arm);
        c.lineTo(sx + arm, sy + side * arm);
      }
    }
    c.stroke();
  }

  errorFactor() {
    const spacing = this.model.get("spacing") || 12;
    return this.medianError > 0 ? Math.max(1, niceNumber((0.4 * spacing) / this.medianError)) : 1;
  }

  drawErrors() {
    const c = this.context;
    const factor = this.errorFactor() * this.scale;
    c.fillStyle = "rgb(255 82 120 / 20%)";
    c.strokeStyle = "#ff5278";
    c.lineWidth = 1.2;
    c.beginPath();
    for (let i = 0; i < this.count; i++) {
      const k = i * FIELDS;
      if (!this.shown(i) || !(this.data[k + 2] > 0)) continue;
      const [sx, sy] = this.screenAt(this.data[k], this.data[k + 1]);
      if (sx < -40 || sy < -40 || sx > this.width + 40 || sy > this.height + 40) continue;
      // A useless error must not paint over the image.
      const rx = Math.min(this.data[k + 3] * factor, 60);
      const ry = Math.min(this.data[k + 2] * factor, 60);
      c.moveTo(sx + rx, sy);
      c.ellipse(sx, sy, rx, ry, 0, 0, 2 * Math.PI);
    }
    c.fill();
    c.stroke();
  }

  drawCurrent() {
    const i = this.model.get("current");
    if (i < 0 || i >= this.count) return;
    const [sx, sy] = this.screenAt(this.data[i * FIELDS], this.data[i * FIELDS + 1]);
    const radius = Math.max(6, this.radius() + 4);
    const c = this.context;
    c.strokeStyle = "#fff";
    c.lineWidth = 2.5;
    c.beginPath();
    c.arc(sx, sy, radius, 0, 2 * Math.PI);
    c.stroke();
  }

  drawTool() {
    const c = this.context;
    if (this.drag?.path) {
      c.strokeStyle = "#fff";
      c.fillStyle = "rgb(255 255 255 / 14%)";
      c.lineWidth = 1.5;
      c.setLineDash([5, 4]);
      c.beginPath();
      this.drag.path.forEach(([x, y], k) => (k ? c.lineTo(x, y) : c.moveTo(x, y)));
      c.closePath();
      c.fill();
      c.stroke();
      c.setLineDash([]);
    }
    const points = this.model.get("points");
    if (points.length >= 2) {
      const ends = [this.screenAt(points[0], points[1])];
      if (points.length >= 4) ends.push(this.screenAt(points[2], points[3]));
      else if (this.pointer && this.model.get("tool") === "ruler") ends.push(this.pointer);
      c.strokeStyle = c.fillStyle = RULER;
      c.lineWidth = 2;
      c.beginPath();
      ends.forEach(([x, y], k) => (k ? c.lineTo(x, y) : c.moveTo(x, y)));
      c.stroke();
      for (const [x, y] of ends) {
        c.beginPath();
        c.arc(x, y, 4, 0, 2 * Math.PI);
        c.fill();
      }
      if (ends.length === 2) {
        const pixels = Math.hypot(ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]) / this.scale;
        const size = this.model.get("pixel_size");
        const text = `${digits(pixels)} px${size ? ` = ${length(pixels * size)}` : ""}`;
        this.label(text, (ends[0][0] + ends[1][0]) / 2 + 8, (ends[0][1] + ends[1][1]) / 2 - 10, RULER);
      }
    }
  }

  label(text, x, y, colour) {
    const c = this.context;
    c.font = "600 13px system-ui, sans-serif";
    c.lineWidth = 4;
    c.lineJoin = "round";
    c.strokeStyle = "rgb(0 0 0 / 75%)";
    c.strokeText(text, x, y);
    c.fillStyle = colour;
    c.fillText(text, x, y);
  }

  drawScaleBar() {
    const size = this.model.get("pixel_size");
    const perPixel = (size ?? 1) / this.scale; // Å (or px) per screen pixel
    const bar = niceNumber(Math.min(150, this.width * 0.25) * perPixel);
    const width = bar / perPixel;
    const [x, y] = [16, this.height - 20];
    const c = this.context;
    c.fillStyle = "rgb(0 0 0 / 55%)";
    c.beginPath();
    c.roundRect(x - 8, y - 24, Math.max(width, 40) + 16, 36, 6);
    c.fill();
    c.fillStyle = "#fff";
    c.fillRect(x, y, width, 4);
    c.font = "600 13px system-ui, sans-serif";
    c.fillText(size ? length(bar) : `${digits(bar)} px`, x, y - 7);
  }

  drawLegend() {
    const lines = [];
    const shown = this.model.get("show_atoms") && this.groupCounts;
    if (shown && this.count && (this.groupCounts.size > 1 || this.model.get("group_names").length)) {
      const colours = this.model.get("colours");
      const name = (colour) => {
        const group = colours.indexOf(colour);
        const known = this.model.get("group_names");
        if (known.length) return known[group] ?? "no class";
        return group < 0 || colour === this.model.get("plain_colour") && this.ungrouped() ? "no group" : `group ${group}`;
      };
      const safe = (text) => text.replace(/[&<]/g, (sign) => ({ "&": "&amp;", "<": "&lt;" })[sign]);
      const sorted = [...this.groupCounts].sort((a, b) => name(a[0]).localeCompare(name(b[0])));
      for (const [colour, count] of sorted) lines.push(`<i style="border-color:${colour}"></i>${safe(name(colour))} · ${count}`);
    }
    const empty = this.model.get("show_atoms") ? this.emptySites().length : 0;
    if (empty) lines.push(`<i class="an-swatch-v" style="border-color:${VACANCY}"></i>vacancy · ${empty}`);
    if (this.model.get("show_rings")) {
      const sizes = new Map();
      for (const ring of this.rings) sizes.set(ring.size, [ring.colour, (sizes.get(ring.size)?.[1] ?? 0) + 1]);
      for (const [size, [colour, count]] of [...sizes].sort((a, b) => a[0] - b[0])) {
        lines.push(`<i class="an-swatch-r" style="background:${colour};border-color:${colour}"></i>${size}-ring · ${count}`);
      }
    }
    if (this.model.get("show_bonds") && this.model.get("show_certainty") && this.bonds.length) {
      const stops = [0, 0.25, 0.5, 0.75, 1].map((p) => this.certainty(p)).join(", ");
      lines.push(`<i class="an-swatch-b" style="background:linear-gradient(90deg, ${stops})"></i>bond, 0 to 1`);
    }
    if (this.model.get("show_probability") && this.model.get("overlay").version) lines.push('<i class="an-swatch-p"></i>probability of an atom');
    if (this.model.get("show_errors") && this.medianError > 0) lines.push(`<i class="an-swatch-e"></i>1σ errors, drawn ${this.errorFactor()}× larger`);
    const html = lines.map((line) => `<div>${line}</div>`).join("");
    if (this.legendHtml !== html) this.legend.innerHTML = this.legendHtml = html;
    this.legend.hidden = !lines.length;
  }

  ungrouped() {
    for (let i = 0; i < this.count; i++) if (this.data[i * FIELDS + 5] >= 0) return false;
    return true;
  }

  // ---------- pointer and keys ----------
  atomNear(sx, sy) {
    const [y, x] = this.imageAt(sx, sy);
    const reach = Math.max(9 / this.scale, 0.35 * (this.model.get("spacing") || 12));
    const steps = Math.ceil(reach / 16);
    let best = -1;
    let least = reach;
    for (let i = -steps; i <= steps; i++) {
      for (let j = -steps; j <= steps; j++) {
        for (const k of this.grid.get(this.cell(y + 16 * i, x + 16 * j)) ?? []) {
          const distance = Math.hypot(this.data[k * FIELDS] - y, this.data[k * FIELDS + 1] - x);
          if (distance < least && this.shown(k)) [best, least] = [k, distance];
        }
      }
    }
    return best;
  }

  down(event) {
    if (!this.view?.version || event.button !== 0) return;
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const tool = event.shiftKey ? "box" : this.model.get("tool");
    const start = [event.offsetX, event.offsetY];
    this.drag = { tool, start, origin: [...this.origin], moved: false };
    if (tool === "box" || tool === "lasso") this.drag.path = [start];
  }

  move(event) {
    this.pointer = [event.offsetX, event.offsetY];
    if (this.drag) {
      const { start, tool } = this.drag;
      const [dx, dy] = [event.offsetX - start[0], event.offsetY - start[1]];
      if (Math.hypot(dx, dy) > 4) this.drag.moved = true;
      if (tool === "box") this.drag.path = [start, [event.offsetX, start[1]], this.pointer, [start[0], event.offsetY]];
      else if (tool === "lasso") this.drag.path.push(this.pointer);
      else if (this.drag.moved) {
        this.origin = [this.drag.origin[0] + dx, this.drag.origin[1] + dy];
        this.fitted = false;
      }
      this.redraw();
    } else if (this.model.get("tool") === "ruler") this.redraw();
    this.say();
  }

  up(event) {
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    if (!drag.moved) this.click(event, drag.tool);
    else if (drag.path) this.choose(drag.path);
    this.redraw();
  }

  click(event, tool) {
    if (tool === "ruler") {
      const points = this.model.get("points");
      const here = this.imageAt(event.offsetX, event.offsetY);
      this.set("points", points.length === 2 ? [...points, ...here] : here);
      return;
    }
    this.model.set("current", this.atomNear(event.offsetX, event.offsetY));
    if (this.outlines.length) this.model.set("outline", this.outlineAt(event.offsetX, event.offsetY)?.id ?? -1);
    if (this.selection.size && this.model.get("current") < 0) this.model.set("selected", new DataView(new ArrayBuffer(0)));
    this.model.save_changes();
  }

  choose(path) {
    const region = new Path2D();
    path.forEach(([x, y], k) => (k ? region.lineTo(x, y) : region.moveTo(x, y)));
    region.closePath();
    const inside = [];
    const c = this.context;
    c.save();
    c.setTransform(1, 0, 0, 1, 0, 0);
    for (let i = 0; i < this.count; i++) {
      if (this.shown(i) && c.isPointInPath(region, ...this.screenAt(this.data[i * FIELDS], this.data[i * FIELDS + 1]))) inside.push(i);
    }
    c.restore();
    this.set("selected", new DataView(Int32Array.from(inside).buffer));
  }

  key(event) {
    const step = 60;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) {
      this.origin = [this.origin[0] + moves[event.key][0], this.origin[1] + moves[event.key][1]];
      this.fitted = false;
      this.redraw();
    } else if (event.key === "+" || event.key === "=") this.zoomBy(1.5);
    else if (event.key === "-") this.zoomBy(1 / 1.5);
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape") {
      this.model.set("current", -1);
      this.model.set("outline", -1);
      this.model.set("points", []);
      this.set("selected", new DataView(new ArrayBuffer(0)));
    } else return;
    event.preventDefault();
  }

  // ---------- the line below the image ----------
  say() {
    if (!this.view?.version) {
      this.where.textContent = this.what.textContent = "";
      return;
    }
    const size = this.model.get("pixel_size");
    let hovered = -1;
    if (this.pointer && !this.drag) {
      const [y, x] = this.imageAt(...this.pointer);
      const value = this.valueAt(y, x);
      const inAngstrom = size ? ` = ${digits(y * size)}, ${digits(x * size)} Å` : "";
      this.where.textContent = value === null ? "outside the image" : `y, x ${y.toFixed(1)}, ${x.toFixed(1)} px${inAngstrom} · value ${digits(value)}`;
      hovered = this.atomNear(...this.pointer);
    } else {
      this.where.textContent = `${this.view.height} × ${this.view.width} px${size ? ` · ${digits(size, 5)} Å/px` : " · no scale"}`;
    }
    const atom = hovered >= 0 ? hovered : this.model.get("current");
    const defect = this.pointer && !this.drag && this.outlines?.length ? this.outlineAt(...this.pointer) : null;
    this.canvas.style.cursor = this.model.get("tool") !== "pan" ? "crosshair" : defect ? "pointer" : "grab";
    const words = [defect?.note, atom >= 0 && atom < this.count ? this.describe(atom) : ""];
    this.what.textContent = words.filter(Boolean).join(" · ");
  }

  describe(i) {
    const [, , yErr, xErr, score, group, flags] = this.data.subarray(i * FIELDS, (i + 1) * FIELDS);
    const size = this.model.get("pixel_size");
    const species = this.model.get("species")[i];
    const known = this.model.get("group_names");
    if (this.model.get("true")) return [species, known[group] && known[group] !== species ? `class ${known[group]}` : ""].filter(Boolean).join(" · ");
    const parts = [`atom ${i}`];
    const name = species ?? known[group];
    if (name) parts.push(name);
    else if (group >= 0) parts.push(`group ${group}`);
    parts.push(`score ${score.toFixed(2)}`);
    if (yErr > 0) {
      const unit = size ? `${digits(yErr * size * 100, 2)}, ${digits(xErr * size * 100, 2)} pm` : `${digits(yErr, 2)}, ${digits(xErr, 2)} px`;
      parts.push(`± ${unit}`);
    } else parts.push("no error estimate");
    const names = Object.entries(this.model.get("flag_names")).filter(([bit]) => flags & Number(bit)).map(([, name]) => name);
    if (names.length) parts.push(`⚑ ${names.join(", ")}`);
    return parts.join(" · ");
  }

  savePicture(name) {
    const picture = element("canvas", "");
    picture.width = this.canvas.width;
    picture.height = this.canvas.height;
    this.draw();
    picture.getContext("2d").drawImage(this.canvas, 0, 0);
    picture.toBlob((blob) => {
      const link = element("a", "", { href: URL.createObjectURL(blob), download: name });
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
}

function render({ model, el }) {
  const viewer = new Viewer(model, el);
  return () => viewer.observer.disconnect();
}

export default { render };
