// The waterfall: a column a frame, q upwards, drawn once and then stretched.
import { HEAT, colour, sized } from "./colour.js";

const TALL = 256;
const reels = new WeakMap(); // run -> what is painted of it

export function drawFilm(canvas, run, span) {
  const context = sized(canvas);
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  context.clearRect(0, 0, w, h);
  if (!run.columns.size) return;
  const reel = reels.get(run) || { canvas: document.createElement("canvas"), done: 0, fromStart: -1, judged: 0 };
  reels.set(run, reel);
  paint(reel, run);
  const n = run.order.length;
  context.imageSmoothingEnabled = n > w;
  context.drawImage(reel.canvas, 0, 0, n, TALL, 0, 0, (n / span) * w, h);
  const [low, high] = [run.q[0], run.q[run.q.length - 1]];
  const said = `q ${low.toFixed(1)} … ${high.toFixed(1)} Å⁻¹`;
  const unit = document.getElementById("film-range");
  if (unit.textContent !== said) unit.textContent = said;
  canvas.setAttribute("aria-label", `Waterfall of ${n} patterns, ${said} upwards, brightness by the logarithm of intensity`);
}

function paint(reel, run) {
  const n = run.order.length;
  if (reel.fromStart !== run.fromStart) Object.assign(reel, { fromStart: run.fromStart, done: 0 });
  if (n > 1.5 * reel.judged || reel.judged > n) {
    Object.assign(reel, judge(run), { judged: n, done: 0 });
  }
  if (n > reel.canvas.width || !reel.ready) {
    Object.assign(reel.canvas, { width: Math.max(256, 2 ** Math.ceil(Math.log2(n + 1))), height: TALL });
    Object.assign(reel, { ready: true, done: 0 });
  }
  if (reel.done === n) return;
  const fresh = n - reel.done;
  const image = new ImageData(fresh, TALL);
  const pixels = new Uint32Array(image.data.buffer);
  const scale = 255 / Math.max(1, reel.high - reel.low);
  for (let i = 0; i < fresh; i++) {
    const column = run.columns.get(run.order[reel.done + i]);
    for (let k = 0; k < TALL; k++) {
      const level = column ? (column[k] - reel.low) * scale : 0;
      pixels[(TALL - 1 - k) * fresh + i] = HEAT[level < 0 ? 0 : level > 255 ? 255 : level | 0];
    }
  }
  reel.canvas.getContext("2d").putImageData(image, reel.done, 0);
  reel.done = n;
}

// Levels that are black and white: of the frames so far, few points apart.
function judge(run) {
  const seen = new Uint32Array(256);
  let total = 0;
  const step = Math.max(1, Math.floor(run.order.length / 200));
  for (let i = 0; i < run.order.length; i += step) {
    const column = run.columns.get(run.order[i]);
    if (column) for (const level of column) if (level) [seen[level] += 1, (total += 1)];
  }
  const at = (share) => {
    let sum = 0;
    for (let level = 1; level < 256; level++) if ((sum += seen[level]) >= share * total) return level;
    return 255;
  };
  return { low: at(0.1), high: Math.max(at(0.975), at(0.1) + 24) };
}
