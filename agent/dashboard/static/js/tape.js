// The flag tape: a row a flag; and the label as a ribbon.
import { colour, labelColour, sized } from "./colour.js";

const ROW = 17;
const QUIET = "no flag raised";

export function drawTape(canvas, names, run, span) {
  const { flags, order } = run;
  const rows = Math.max(flags.length, 1);
  canvas.style.height = `${rows * ROW}px`;
  const said = flags.length ? flags.map((flag) => flag.name) : [QUIET];
  if (names.dataset.said !== said.join()) {
    names.dataset.said = said.join();
    names.replaceChildren(...said.map((text) => Object.assign(document.createElement("span"), { textContent: text, title: text })));
  }
  const context = sized(canvas);
  const wide = canvas.clientWidth / span;
  context.clearRect(0, 0, canvas.clientWidth, rows * ROW);
  flags.forEach((flag, row) => {
    context.fillStyle = colour("grid");
    context.fillRect(0, row * ROW + ROW - 1, canvas.clientWidth, 1);
    context.fillStyle = colour(flag.severity === "information" ? "accent" : flag.severity === "pipeline" ? "unknown" : flag.severity);
    runs(order.length, (i) => (run.get(order[i], "dq") >>> flag.bit) & 1, (up, from, to) => {
      if (up) context.fillRect(from * wide, row * ROW + 2, Math.max((to - from) * wide - (wide > 4 ? 1 : 0), 1.5), ROW - 5);
    });
    hatch(context, run, flag, row, wide);
  });
}

// Where a flag could not be evaluated: thin, so that it is never taken for clear.
function hatch(context, run, flag, row, wide) {
  context.fillStyle = colour("edge");
  runs(run.order.length, (i) => (run.get(run.order[i], "checked") >>> flag.bit) & 1, (checked, from, to) => {
    if (!checked) context.fillRect(from * wide, row * ROW + ROW / 2 - 2, (to - from) * wide, 2);
  });
}

export function drawRibbon(canvas, run, span) {
  const context = sized(canvas);
  const [wide, high] = [canvas.clientWidth / span, canvas.clientHeight];
  context.clearRect(0, 0, canvas.clientWidth, high);
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "middle";
  const said = [];
  const key = (i) => `${run.get(run.order[i], "unsure") ? "?" : ""}${run.get(run.order[i], "label")}`;
  runs(run.order.length, key, (text, from, to) => {
    const label = text.replace(/^\?/, "");
    if (!label) return;
    context.globalAlpha = text.startsWith("?") ? 0.35 : 1;
    context.fillStyle = labelColour(label);
    context.fillRect(from * wide, 2, Math.max((to - from) * wide, 1), high - 4);
    context.globalAlpha = 1;
    said.push(`${label}${text.startsWith("?") ? " unsure" : ""} from frame ${run.order[from]}`);
    const shown = text.startsWith("?") ? `${label}?` : label;
    if (context.measureText(shown).width + 8 > (to - from) * wide) return;
    context.fillStyle = text.startsWith("?") ? colour("text") : colour("on-word");
    context.fillText(shown, from * wide + 5, high / 2 + 0.5);
  });
  canvas.setAttribute("aria-label", `Label by frame: ${said.slice(-6).join("; ") || "none"}`);
}

// Calls back once for each stretch of frames that have the same value.
function runs(count, valueAt, each) {
  let from = 0;
  for (let i = 1; i <= count; i++) {
    if (i === count || valueAt(i) !== valueAt(from)) {
      each(valueAt(from), from, i);
      from = i;
    }
  }
}
