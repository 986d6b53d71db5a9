// Values along the run, each with a band of one standard deviation.
import { colour, sized } from "./colour.js";
import { number } from "./lamp.js";

const $ = (id) => document.getElementById(id);
const TRENDS = [
  { id: "trend-center", what: "Beam centre, px", lines: [["dx", "center_sigma", "accent", "x"], ["dy", "center_sigma", "second", "y"]], least: 0.1 },
  { id: "trend-scale", what: "Change of d, ppm", lines: [["scale", "scale_sigma", "accent", ""]], least: 100 },
  { id: "trend-light", what: "Intensity over I0", lines: [["light", "light_sigma", "accent", ""]], least: 0.02 },
  { id: "trend-bragg", what: "Share of light in rings", lines: [["bragg", null, "accent", ""]], least: 0.02 },
];

export function drawTrends(run, span) {
  for (const trend of TRENDS) draw($(trend.id), trend, run, span);
}

function draw(canvas, { what, lines, least }, run, span) {
  const context = sized(canvas);
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  context.clearRect(0, 0, w, h);
  const series = lines.map(([name, sigma, ink, letter]) => ({ ...read(run, name, sigma), ink, letter }));
  const [low, high] = range(series, least);
  const place = (i) => ((i + 0.5) / span) * w;
  const height = (value) => h - 4 - ((Math.max(low, Math.min(high, value)) - low) / (high - low)) * (h - 8);
  context.strokeStyle = colour("grid");
  context.lineWidth = 1;
  if (low < 0 && high > 0) line(context, [[0, height(0)], [w, height(0)]]);
  for (const one of series) {
    context.fillStyle = context.strokeStyle = colour(one.ink);
    context.globalAlpha = 0.25;
    band(context, one, place, height);
    context.globalAlpha = 1;
    context.lineWidth = 1.6;
    path(context, one, place, height);
  }
  label(context, w, h, series, low, high);
  const said = series.map((one) => `${one.letter} ${number(one.last)}${one.lastSigma ? ` ± ${number(one.lastSigma, 2)}` : ""}`.trim()).join(", ");
  canvas.setAttribute("aria-label", `${what}: last ${said}; from ${number(low)} to ${number(high)}`);
}

function read(run, name, sigma) {
  const values = run.order.map((index) => run.get(index, name));
  const widths = sigma ? run.order.map((index) => run.get(index, sigma)) : [];
  const there = values.findLastIndex((value) => value !== null);
  return { values, widths, last: there < 0 ? null : values[there], lastSigma: there < 0 ? null : widths[there] };
}

// All values but the few outermost, so that one lost frame does not flatten the rest.
function range(series, least) {
  const all = series.flatMap((one) => one.values.filter((value) => value !== null)).sort((a, b) => a - b);
  if (!all.length) return [0, 1];
  const cut = Math.floor(all.length * 0.02) + (all.length > 20 ? 1 : 0);
  let [low, high] = [all[cut], all[all.length - 1 - cut]];
  const room = Math.max((high - low) * 0.12, (least - (high - low)) / 2, 1e-12);
  return [low - room, high + room];
}

function line(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

function path(context, { values }, place, height) {
  context.beginPath();
  let down = false;
  values.forEach((value, i) => {
    if (value === null) down = false;
    else if (down) context.lineTo(place(i), height(value));
    else {
      context.moveTo(place(i) - 0.8, height(value));
      context.lineTo(place(i) + 0.8, height(value));
      down = true;
    }
  });
  context.stroke();
}

function band(context, { values, widths }, place, height) {
  for (let from = 0; from < values.length; from++) {
    if (values[from] === null || !widths[from]) continue;
    let to = from;
    while (to < values.length && values[to] !== null && widths[to]) to++;
    context.beginPath();
    for (let i = from; i < to; i++) context.lineTo(place(i), height(values[i] + widths[i]));
    for (let i = to - 1; i >= from; i--) context.lineTo(place(i), height(values[i] - widths[i]));
    context.fill();
    from = to;
  }
}

function label(context, w, h, series, low, high) {
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right";
  for (const [value, y] of [[number(high, 3), 11], [number(low, 3), h - 4]]) {
    context.fillStyle = colour("well");
    context.globalAlpha = 0.8;
    context.fillRect(w - 8 - context.measureText(value).width, y - 10, w, 13);
    context.globalAlpha = 1;
    context.fillStyle = colour("soft");
    context.fillText(value, w - 4, y);
  }
  context.textAlign = "left";
  let x = 5;
  for (const one of series) {
    if (!one.letter) continue;
    context.fillStyle = colour(one.ink);
    context.fillText(one.letter, x, 12);
    x += 14;
  }
}
