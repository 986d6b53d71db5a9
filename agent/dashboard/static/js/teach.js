// What people say of a frame; with a key, which is kept as long as the tab is open.
import { element } from "./detail.js";
import { whyNot } from "./message.js";

const $ = (id) => document.getElementById(id);
const KEY = "key";
const AGAIN_MS = 5000; // until labels that could not be had are asked for again
const AWAY = "The page's server cannot be reached: try again.";

export class Teach {
  // `frame` gives what is shown now: {run, stream, index}; `hold` makes it stay.
  constructor(frame, hold) {
    this.frame = frame;
    this.run = "";
    for (const sign of ["focusin", "input"]) $("label-form").addEventListener(sign, hold);
    $("key-form").addEventListener("submit", (event) => this.#unlock(event));
    $("label-form").addEventListener("submit", (event) => this.#say(event));
    this.#toggle(Boolean(sessionStorage.getItem(KEY)));
  }

  async show(run) {
    if (run === this.run) return;
    this.run = run;
    const told = await labels(run);
    if (this.run !== run) return; // another run is shown by now
    if (!told) {
      setTimeout(() => this.run === run && (this.run = ""), AGAIN_MS);
      return;
    }
    $("teach").hidden = !told.takes_labels && !told.labels.length;
    $("key-form").hidden = !told.takes_labels || Boolean(sessionStorage.getItem(KEY));
    $("labels").replaceChildren(...told.labels.reverse().map(item));
  }

  // Whether somebody is about to label.
  get busy() {
    return $("label-form").contains(document.activeElement);
  }

  // Say which frame a label will be of; null while the newest is shown.
  name(index) {
    const said = index === null ? "Labelling the newest frame" : `Labelling frame ${index}`;
    if ($("label-frame").textContent !== said) $("label-frame").textContent = said;
  }

  #toggle(open) {
    $("key-form").hidden = open;
    $("label-form").hidden = !open;
  }

  async #unlock(event) {
    event.preventDefault();
    const key = $("key").value;
    const answer = await post("/api/key", key);
    if (!answer) return;
    $("key").value = "";
    if (!answer.ok) {
      $("teach-said").textContent = await whyNot(answer);
      return;
    }
    sessionStorage.setItem(KEY, key);
    $("teach-said").textContent = "";
    this.#toggle(true);
  }

  async #say(event) {
    event.preventDefault();
    const frame = this.frame();
    if (!frame) return;
    const says = event.submitter ? event.submitter.value : "comment";
    const value = says === "class" ? $("label-name").value : "";
    const said = { ...frame, says, value, comment: $("label-comment").value, by: $("label-who").value };
    const answer = await post("/api/labels", sessionStorage.getItem(KEY), said);
    if (!answer) return;
    if (answer.status === 401) {
      sessionStorage.removeItem(KEY);
      this.#toggle(false);
    }
    if (!answer.ok) {
      $("teach-said").textContent = await whyNot(answer);
      return;
    }
    const label = await answer.json();
    $("labels").prepend(item(label));
    for (const id of ["label-name", "label-comment"]) $(id).value = "";
    $("teach-said").textContent = `Kept: frame ${label.index}, ${label.says}${label.value && ` ${label.value}`}.`;
  }
}

// What people said of a run; null where that cannot be had.
async function labels(run) {
  try {
    const answer = await fetch(`/api/labels?${new URLSearchParams({ uid: run })}`);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

// The answer; null, and said so, where there is none.
async function post(path, key, body) {
  const headers = { "X-Ringwatch-Key": encodeURIComponent(key || "") };
  if (body) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method: "POST", headers, body: body && JSON.stringify(body) });
  } catch {
    $("teach-said").textContent = AWAY;
    return null;
  }
}

function item(label) {
  const words = [`Frame ${label.index}: ${label.says}`, label.value, label.comment, `– ${label.by}`];
  return element("li", { textContent: words.filter(Boolean).join(" ") });
}
