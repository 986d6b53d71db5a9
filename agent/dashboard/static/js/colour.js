// Colours of canvases: from the page's own properties, so that themes count there too.
const memory = new Map();

export function colour(name) {
  if (!memory.has(name)) memory.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return memory.get(name);
}
window.addEventListener("theme", () => memory.clear());

// Dark to bright through blue, violet, orange: lightness rises evenly, so it survives
// print and any kind of colour vision (after matplotlib's inferno, fitted).
const STOPS = [[4, 6, 18], [38, 16, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 190]];

export const HEAT = (() => {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const x = (i / 255) * (STOPS.length - 1);
    const k = Math.min(Math.floor(x), STOPS.length - 2);
    const [r, g, b] = STOPS[k].map((low, c) => Math.round(low + (STOPS[k + 1][c] - low) * (x - k)));
    table[i] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return table;
})();

export function packed(css) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(css.slice(i, i + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

// Labels have no order: hues that differ, by the letters of the symbol.
const HUES = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#7f9cf5", "#d55e00", "#94d2bd"];
const given = new Map();

export function labelColour(label) {
  if (!given.has(label)) given.set(label, HUES[given.size % HUES.length]);
  return given.get(label);
}

// A canvas as large as it looks, whatever the screen; returns its context in CSS pixels.
export function sized(canvas) {
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  const w = Math.max(1, Math.round(canvas.clientWidth * scale));
  const h = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}
