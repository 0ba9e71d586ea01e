// A map of points on a canvas: moved and zoomed by mouse, fingers or keys, with a lasso. It needs no graphics card.
const PALETTE = ["#3b76c4", "#e08a2c", "#4a9d5b", "#c9493f", "#8b66b8", "#8a6250", "#d977b5", "#7d838c", "#a9a832", "#38afc0",
  "#1d4a86", "#a85c10", "#23683a", "#8a2019", "#5b3a86", "#56382c", "#a03d7e", "#494e56", "#6f6e14", "#b4bac3"];
const RAMP = ["#443983", "#3b528b", "#31688e", "#287c8e", "#21918c", "#20a486", "#35b779", "#5ec962", "#90d743", "#c8e020", "#fde725"];
const NEAR = 14; // pixels within which a point is meant
const ABOVE = 52; // pixels over the whole map, where the buttons lie
const ROUND = 6000; // points that are drawn as discs; more as squares, which are quicker

export class Map2D {
  constructor(canvas, buffer, images, acts) {
    Object.assign(this, { canvas, images, acts, buffer, picked: -1, links: [], mask: null, lassoing: false, path: null });
    this.x = new Float32Array(buffer, 0, images);
    this.y = new Float32Array(buffer, 4 * images, images);
    this.codes = new Uint8Array(images);
    this.palette = [PALETTE[0]];
    this.order = Uint32Array.from({ length: images }, (_, i) => i);
    this.fingers = new Map();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
    this.whole();
  }

  // ---- where the map is looked at: screen = (point - centre) * scale + middle; y upwards

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    this.width = width; this.height = height;
    this.canvas.width = Math.max(1, width * ratio); this.canvas.height = Math.max(1, height * ratio);
    if (!(this.scale > 0) || !isFinite(this.scale)) this.whole();
    this.draw();
  }

  whole() {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.images; i++) {
      left = Math.min(left, this.x[i]); right = Math.max(right, this.x[i]);
      low = Math.min(low, this.y[i]); high = Math.max(high, this.y[i]);
    }
    const above = Math.min(ABOVE, this.height / 4), tall = this.height - above;
    this.scale = 0.92 * Math.min(this.width / Math.max(right - left, 1e-6), tall / Math.max(high - low, 1e-6));
    this.cx = (left + right) / 2; this.cy = (low + high) / 2 + (this.scale > 0 ? above / 2 / this.scale : 0);
    this.draw();
  }

  at(i) { return [(this.x[i] - this.cx) * this.scale + this.width / 2, this.height / 2 - (this.y[i] - this.cy) * this.scale]; }

  look(i) { this.cx = this.x[i]; this.cy = this.y[i]; this.draw(); }

  zoom(by, px = this.width / 2, py = this.height / 2) {
    const x = this.cx + (px - this.width / 2) / this.scale, y = this.cy - (py - this.height / 2) / this.scale;
    this.scale *= by;
    this.cx = x - (px - this.width / 2) / this.scale; this.cy = y + (py - this.height / 2) / this.scale;
    this.draw();
  }

  // ---- colours

  colour(column) {
    if (column.kind === "category") {
      this.codes = new Uint8Array(this.buffer, column.at, this.images);
      this.palette = column.values.map((_, i) => PALETTE[i % PALETTE.length]);
    } else {
      const values = new Float32Array(this.buffer, column.at, this.images), wide = Math.max(column.high - column.low, 1e-12);
      this.codes = Uint8Array.from(values, (v) =>
        isFinite(v) ? Math.max(0, Math.min(RAMP.length - 1, Math.floor((v - column.low) / wide * RAMP.length))) : RAMP.length);
      this.palette = [...RAMP, "#b4bac3"];
    }
    this.order = Uint32Array.from({ length: this.images }, (_, i) => i);
    const codes = this.codes;
    this.order.sort((a, b) => codes[a] - codes[b] || a - b);
    this.draw();
    return column.kind === "category"
      ? column.values.map((name, i) => [this.palette[i], name, column.counts[i]])
      : [0, 0.5, 1].map((t) => [RAMP[Math.round(t * (RAMP.length - 1))], (column.low + t * (column.high - column.low)).toFixed(3)]);
  }

  // ---- drawing, once a frame

  draw() {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => { this.asked = 0; this.paint(); });
  }

  paint() {
    const g = this.canvas.getContext("2d"), ratio = devicePixelRatio || 1;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    const style = getComputedStyle(this.canvas);
    const shown = Math.max(1, this.images * Math.min(1, (this.width * this.height) / (this.scale * this.scale * 400)));
    const size = Math.max(1.6, Math.min(7, 190 / Math.sqrt(shown)));
    const paintAll = (inside) => {
      let code = -1;
      for (const i of this.order) {
        if (this.mask && Boolean(this.mask[i]) !== inside) continue;
        const px = (this.x[i] - this.cx) * this.scale + this.width / 2, py = this.height / 2 - (this.y[i] - this.cy) * this.scale;
        if (px < -9 || py < -9 || px > this.width + 9 || py > this.height + 9) continue;
        if (inside && this.codes[i] !== code) g.fillStyle = this.palette[code = this.codes[i]];
        if (shown > ROUND) g.fillRect(px - size / 2, py - size / 2, size, size);
        else { g.beginPath(); g.arc(px, py, size / 2 + 0.3, 0, 7); g.fill(); }
      }
    };
    if (this.mask) {
      g.globalAlpha = 0.35;
      g.fillStyle = style.getPropertyValue("--soft");
      paintAll(false);
    }
    g.globalAlpha = this.images > 20000 ? 0.75 : 0.9;
    paintAll(true);
    g.globalAlpha = 1;
    g.strokeStyle = style.getPropertyValue("--ink");
    if (this.picked >= 0) {
      const [px, py] = this.at(this.picked);
      g.lineWidth = 0.8;
      for (const i of this.links) {
        g.beginPath(); g.moveTo(px, py); g.lineTo(...this.at(i)); g.stroke();
      }
      g.lineWidth = 2;
      g.beginPath(); g.arc(px, py, size / 2 + 4, 0, 7); g.stroke();
    }
    if (this.path) {
      g.lineWidth = 1.4;
      g.setLineDash([5, 4]);
      g.beginPath(); this.path.forEach(([px, py]) => g.lineTo(px, py)); g.closePath(); g.stroke();
      g.setLineDash([]);
    }
  }

  // ---- what is meant

  nearest(px, py, within = NEAR) {
    let best = -1, least = within * within;
    for (let i = 0; i < this.images; i++) {
      if (this.mask && !this.mask[i]) continue;
      const dx = (this.x[i] - this.cx) * this.scale + this.width / 2 - px;
      const dy = this.height / 2 - (this.y[i] - this.cy) * this.scale - py;
      const d = dx * dx + dy * dy;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }

  inside(path) {
    const found = [];
    for (let i = 0; i < this.images; i++) {
      const [px, py] = this.at(i);
      let within = false;
      for (let a = 0, b = path.length - 1; a < path.length; b = a++) {
        const [ax, ay] = path[a], [bx, by] = path[b];
        if (ay > py !== by > py && px < (bx - ax) * (py - ay) / (by - ay) + ax) within = !within;
      }
      if (within) found.push(i);
    }
    return found;
  }

  // ---- hands

  listen() {
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, place(event));
      this.start = place(event);
      this.moved = false;
      this.path = (this.lassoing || event.shiftKey) && this.fingers.size === 1 ? [this.start] : null;
      this.acts.hover(-1);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const here = place(event), before = this.fingers.get(event.pointerId);
      if (!before) {
        if (event.pointerType === "mouse") this.acts.hover(this.nearest(...here), ...here);
        return;
      }
      if (Math.hypot(here[0] - this.start[0], here[1] - this.start[1]) > 4) this.moved = true;
      if (this.path) this.path.push(here);
      else if (this.fingers.size === 2) {
        const other = [...this.fingers].find(([id]) => id !== event.pointerId)[1];
        const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
        this.zoom(apart(here) / Math.max(apart(before), 1), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
      } else if (this.moved) {
        this.cx -= (here[0] - before[0]) / this.scale;
        this.cy += (here[1] - before[1]) / this.scale;
      }
      this.fingers.set(event.pointerId, here);
      this.draw();
    });
    const up = (event) => {
      if (!this.fingers.delete(event.pointerId)) return;
      const path = this.path;
      this.path = null;
      if (event.type === "pointerup" && path && path.length > 2) this.acts.lasso(this.inside(path));
      else if (event.type === "pointerup" && !this.moved) {
        const i = this.nearest(...place(event));
        if (i >= 0) this.acts.pick(i);
      }
      this.draw();
    };
    this.canvas.addEventListener("pointerup", up);
    this.canvas.addEventListener("pointercancel", up);
    this.canvas.addEventListener("pointerleave", () => this.acts.hover(-1));
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...place(event));
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => {
      const step = 60 / this.scale;
      const acts = {
        ArrowLeft: () => { this.cx -= step; }, ArrowRight: () => { this.cx += step; },
        ArrowUp: () => { this.cy += step; }, ArrowDown: () => { this.cy -= step; },
        "+": () => this.zoom(1.4), "-": () => this.zoom(1 / 1.4), 0: () => this.whole(),
        Enter: () => { const i = this.nearest(this.width / 2, this.height / 2, Infinity); if (i >= 0) this.acts.pick(i); },
      };
      if (acts[event.key]) { acts[event.key](); event.preventDefault(); this.draw(); }
    });
  }
}
