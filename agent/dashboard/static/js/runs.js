// Earlier runs, asked of Tiled when somebody wants to see them.
import { element } from "./detail.js";
import { whyNot } from "./message.js";

const $ = (id) => document.getElementById(id);

export class Runs {
  constructor(open) {
    this.open = open;
    this.more = 0;
    $("runs-button").addEventListener("click", () => this.toggle($("runs").hidden));
    $("runs-close").addEventListener("click", () => this.toggle(false));
    $("runs-more").addEventListener("click", () => this.load(this.more));
    $("runs").addEventListener("keydown", (event) => event.key === "Escape" && this.toggle(false));
  }

  toggle(open) {
    $("runs").hidden = !open;
    $("runs-button").setAttribute("aria-expanded", String(open));
    if (open) this.load(0);
    else $("runs-button").focus();
  }

  // The runs of one page of the list; what is said where Tiled is away goes on the page.
  async load(offset) {
    $("runs-said").textContent = "Asking Tiled …";
    $("runs-more").hidden = true;
    const told = await list(offset);
    $("runs-said").textContent = told.tiled ? `Earlier runs cannot be listed: ${told.tiled}.` : "";
    if (!offset) $("runs-list").replaceChildren();
    $("runs-list").append(...told.runs.map((run) => this.#item(run)));
    this.more = told.more;
    $("runs-more").hidden = told.more === null;
  }

  #item(run) {
    const button = element("button", {}, element("strong", { textContent: title(run) }), element("span", { textContent: when(run.time) }), element("small", { textContent: run.summary || (run.in_memory ? "in memory" : "") }));
    button.dataset.testid = "run";
    button.addEventListener("click", () => {
      this.toggle(false);
      this.open(run.raw_uid);
    });
    return element("li", {}, button);
  }
}

export async function list(offset) {
  try {
    const answer = await fetch(`/api/runs?offset=${offset}`);
    return answer.ok ? await answer.json() : { runs: [], more: null, tiled: await whyNot(answer) };
  } catch {
    return { runs: [], more: null, tiled: "the agent cannot be reached" };
  }
}

export function title(run) {
  const scan = run.scan_id ? `Scan ${run.scan_id}` : `Run ${(run.raw_uid || run.run || "").slice(0, 8)}`;
  const sample = run.sample_name || run.sample;
  return [scan, typeof sample === "string" ? sample : "", run.plan_name].filter(Boolean).join(", ");
}

export function when(time) {
  return time ? new Date(time * 1000).toLocaleString() : "";
}
