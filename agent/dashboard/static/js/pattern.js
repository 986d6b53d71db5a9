// I(q) with its band, the reference, the lines of the class, and the difference.
import { colour } from "./colour.js";

const $ = (id) => document.getElementById(id);
const TALL = 300;
const LOW = 128;
const SLOW_MS = 150;
const AXIS = 62;
const { uPlot } = window;

export class Pattern {
  constructor() {
    this.log = true;
    this.shown = null;
    this.slowAt = 0;
    $("scale").addEventListener("click", () => {
      this.log = !this.log;
      $("scale").setAttribute("aria-pressed", String(this.log));
      this.rebuild();
    });
    window.addEventListener("theme", () => this.rebuild());
    new ResizeObserver(() => this.#resize()).observe($("plot"));
  }

  // `shown`: {q, intensity, sigma, reference, referenceOf, lines}
  show(shown) {
    this.shown = shown;
    if (!shown.q || !shown.intensity) return;
    if (!this.top || this.q !== shown.q) this.rebuild();
    else this.#fill();
  }

  rebuild() {
    this.top?.destroy();
    this.bottom?.destroy();
    this.top = this.bottom = null;
    const { shown } = this;
    if (!shown || !shown.q || !shown.intensity) return;
    this.q = shown.q;
    const sync = { key: "q", setSeries: false };
    const [topData, bottomData] = this.#data();
    this.top = new uPlot(this.#options(TALL, sync, true), topData, $("plot"));
    this.bottom = new uPlot(this.#options(LOW, sync, false), bottomData, $("residual"));
    this.#tell();
    this.#align();
  }

  // The cake has the same q under the same place.
  #align() {
    const { bbox } = this.top;
    const ratio = window.devicePixelRatio || 1;
    Object.assign($("cake").style, { marginLeft: `${bbox.left / ratio}px`, width: `${bbox.width / ratio}px` });
  }

  #options(height, sync, top) {
    const axis = { stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid"), width: 1 }, font: "12px system-ui", labelFont: "12px system-ui", labelSize: 18 };
    const y = { ...axis, size: AXIS, label: top ? "counts per pixel" : "(I − ref) / σ", values: (_, ticks) => ticks.map((v) => (v === null ? "" : Math.abs(v) >= 1e5 || (v && Math.abs(v) < 1e-2) ? v.toExponential(0) : String(+v.toPrecision(3)))) };
    const quiet = { points: { show: false } };
    const fill = `${colour("accent")}40`;
    const series = top
      ? [{}, { ...quiet, stroke: "transparent" }, { ...quiet, stroke: "transparent" }, { ...quiet, stroke: colour("second"), width: 1.2 }, { ...quiet, stroke: colour("accent"), width: 1.4 }]
      : [{}, { ...quiet, stroke: colour("accent"), width: 1.1 }];
    const bands = top ? [{ series: [1, 2], fill }] : [];
    const scale = top && this.log ? { distr: 3, range: (_, low, high) => decades(low, high) } : { range: (_, low, high) => steps(low, high, top ? 0 : 4) };
    return {
      width: $("plot").clientWidth, height, series, bands, legend: { show: false }, padding: [8, 8, 0, 0],
      cursor: { sync, drag: { x: true, y: false } }, scales: { x: { time: false }, y: scale },
      axes: [{ ...axis, size: top ? 26 : 44, label: top ? undefined : "q (Å⁻¹)", labelGap: 0 }, top && this.log ? { ...y, splits: (plot) => decimals(plot.scales.y.min, plot.scales.y.max) } : y],
      hooks: { draw: [top ? (plot) => this.#ticks(plot) : guides] },
    };
  }

  #data() {
    const { q, intensity, sigma, reference } = this.shown;
    const n = q.length;
    const [low, high, now, ref, away] = Array.from({ length: 5 }, () => new Array(n));
    for (let i = 0; i < n; i++) {
      const [v, s] = [intensity[i], sigma[i]];
      const there = (s > 0 || v !== 0) && Number.isFinite(v) && (!this.log || v > 0);
      now[i] = there ? v : null;
      high[i] = there ? v + s : null;
      low[i] = there ? (this.log ? Math.max(v - s, v * 0.2) : v - s) : null;
      const r = reference ? reference.mean[i] : null;
      ref[i] = r === null || (this.log && r <= 0) || !Number.isFinite(r) ? null : r;
      const width = reference ? Math.hypot(s, reference.sigma[i]) : 0;
      away[i] = width > 0 && Number.isFinite(v) ? (v - r) / width : null;
    }
    return [[q, high, low, ref, now], [q, away]];
  }

  #fill() {
    const [topData, bottomData] = this.#data();
    const zoomed = this.top.scales.x.min > this.q[0] || this.top.scales.x.max < this.q[this.q.length - 1];
    this.top.setData(topData, !zoomed);
    if (zoomed) this.top.redraw();
    const now = performance.now();
    clearTimeout(this.late);
    if (now - this.slowAt > SLOW_MS) this.#slow(bottomData, zoomed, now);
    else this.late = setTimeout(() => this.bottom && this.#slow(bottomData, zoomed, now), SLOW_MS);
  }

  // What nobody reads thirty times a second.
  #slow(bottomData, zoomed, now) {
    this.slowAt = now;
    this.bottom.setData(bottomData, !zoomed);
    if (zoomed) this.bottom.redraw();
    this.#tell();
  }

  // Lines of the class, from the bottom; their indices where there is room.
  #ticks(plot) {
    const { lines } = this.shown;
    if (!lines || !lines.q.length) return;
    const { ctx, bbox } = plot;
    const ratio = window.devicePixelRatio || 1;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.strokeStyle = ctx.fillStyle = colour("text");
    ctx.lineWidth = ratio;
    ctx.font = `${10 * ratio}px system-ui`;
    ctx.textAlign = "center";
    let free = -Infinity;
    lines.q.forEach((q, i) => {
      const x = Math.round(plot.valToPos(q, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x, bbox.top + bbox.height - 12 * ratio);
      ctx.stroke();
      const wide = ctx.measureText(lines.hkl[i]).width;
      if (x - wide / 2 > free) {
        ctx.fillText(lines.hkl[i], x, bbox.top + bbox.height - 15 * ratio);
        free = x + wide / 2 + 3 * ratio;
      }
    });
    ctx.restore();
  }

  #tell() {
    const { q, intensity, reference, referenceOf, lines } = this.shown;
    const peak = intensity.reduce((best, value, i) => (value > intensity[best] ? i : best), 0);
    $("plot").setAttribute("aria-label", `Pattern of ${q.length} points from ${q[0].toFixed(2)} to ${q[q.length - 1].toFixed(2)} per Angstrom; highest point ${intensity[peak].toPrecision(3)} at ${q[peak].toFixed(3)}`);
    const key = $("reference-key");
    const said = reference ? `reference: mean of ${referenceOf.length > 1 ? `frames ${referenceOf.join(", ")}` : `frame ${referenceOf[0]}`}` : "no reference yet: no good frame";
    if (key.textContent !== said) key.textContent = said;
    const told = lines ? lines.said : "";
    if ($("lines-said").textContent !== told) $("lines-said").textContent = told;
  }

  #resize() {
    const width = $("plot").clientWidth;
    if (!this.top || Math.abs(this.top.width - width) < 2) return;
    this.top.setSize({ width, height: TALL });
    this.bottom.setSize({ width, height: LOW });
    this.#align();
  }
}

// Ends that move in steps, so that the picture stands still from frame to frame.
function decades(low, high) {
  if (!(high > 0)) return [0.1, 1];
  const step = (v, round) => 10 ** (round(Math.log10(v) * 4) / 4);
  return [step(Math.max(low, high * 1e-5), Math.floor), step(high * 1.1, Math.ceil)];
}

function decimals(low, high) {
  const found = [];
  for (let k = Math.floor(Math.log10(low)); 10 ** k <= high; k++) {
    for (const m of high / low > 300 ? [1] : [1, 2, 5]) if (m * 10 ** k >= low && m * 10 ** k <= high) found.push(m * 10 ** k);
  }
  return found;
}

function steps(low, high, least) {
  if (low === null || high === null || low === undefined) return [-1, 1];
  const most = Math.max(Math.abs(low), Math.abs(high), least);
  const unit = 10 ** Math.floor(Math.log10(most || 1)) / 2;
  const up = Math.ceil((Math.max(high, least) * 1.05) / unit) * unit;
  return [low < 0 || least ? Math.floor(Math.min(low, -least) / unit) * unit : 0, up];
}

// Three standard deviations, beyond which a point is more than noise.
function guides(plot) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour("second");
  ctx.setLineDash([4, 4]);
  for (const z of [-3, 3]) {
    const y = plot.valToPos(z, "y", true);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}
