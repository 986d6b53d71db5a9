// All frames of the run along one axis: flags, label, patterns, trends; and a cursor.
import { drawFilm } from "./film.js";
import { drawRibbon, drawTape } from "./tape.js";
import { drawTrends } from "./trends.js";
import { number } from "./lamp.js";

const $ = (id) => document.getElementById(id);
const LEAST_SPAN = 40; // frames: the first ones do not fill the page
const PAGE = 10;

export class Strip {
  constructor(choose) {
    this.run = null;
    this.chosen = null;
    this.choose = choose;
    const strip = $("strip");
    strip.addEventListener("pointerdown", (event) => this.#click(event));
    strip.addEventListener("keydown", (event) => this.#key(event));
  }

  get span() {
    return Math.max(this.run ? this.run.order.length : 0, LEAST_SPAN);
  }

  show(run, chosen) {
    [this.run, this.chosen] = [run, chosen];
    if (!run) return;
    drawTape($("tape"), $("tape-names"), run, this.span);
    drawRibbon($("ribbon"), run, this.span);
    drawFilm($("film"), run, this.span);
    drawTrends(run, this.span);
    this.#cursor();
    this.#tell();
  }

  #cursor() {
    const line = $("cursor");
    const index = this.chosen ?? this.run.newest;
    const position = this.run.order.indexOf(index);
    line.hidden = position < 0;
    if (position < 0) return;
    const film = $("film");
    line.style.left = `${film.offsetLeft + ((position + 0.5) / this.span) * film.clientWidth}px`;
    line.style.opacity = this.chosen === null ? 0.35 : 1;
  }

  #tell() {
    const { run } = this;
    const index = this.chosen ?? run.newest;
    const first = run.order[0] ?? 0;
    const attributes = { "aria-valuemin": first, "aria-valuemax": Math.max(run.newest, first), "aria-valuenow": Math.max(index, first), "aria-valuetext": this.#inWords(index) };
    for (const [name, value] of Object.entries(attributes)) $("strip").setAttribute(name, value);
    const flags = run.flags.map((flag) => flag.name).join(", ") || "none";
    const said = `${run.order.length} frames${first ? `, from ${first}` : ""}; flags raised: ${flags}`;
    if ($("strip-said").textContent !== said) $("strip-said").textContent = said;
    $("tape").setAttribute("aria-label", `Flags by frame: ${said}`);
  }

  #inWords(index) {
    const { run } = this;
    if (!run.rows.has(index)) return "no frame yet";
    const raised = run.info.flags.filter((flag) => (run.get(index, "dq") >>> flag.bit) & 1).map((flag) => flag.name);
    const label = run.get(index, "label");
    return `frame ${index}, ${run.word(index)}, ${raised.length ? raised.join(", ") : "no flag"}${label ? `, label ${label} ${number(run.get(index, "prob"), 2)}` : ""}`;
  }

  #click(event) {
    const film = $("film");
    const box = film.getBoundingClientRect();
    if (!this.run || event.clientX < box.left) return;
    const position = Math.floor(((event.clientX - box.left) / box.width) * this.span);
    const index = this.run.order[Math.min(position, this.run.order.length - 1)];
    if (index !== undefined) this.choose(index);
  }

  #key(event) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: PAGE, PageDown: -PAGE, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.choose(null);
    else if (event.key in steps && this.run && this.run.order.length) {
      const { order } = this.run;
      const here = Math.max(0, order.indexOf(this.chosen ?? this.run.newest));
      this.choose(order[Math.max(0, Math.min(order.length - 1, here + steps[event.key]))]);
    } else return;
    event.preventDefault();
  }
}
