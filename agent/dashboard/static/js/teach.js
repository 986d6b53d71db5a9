// What people say of a frame; with a key, which is kept as long as the tab is open.
import { element } from "./detail.js";
import { whyNot } from "./message.js";

const $ = (id) => document.getElementById(id);
const KEY = "key";

export class Teach {
  // `frame` gives what is shown now: {run, stream, index}.
  constructor(frame) {
    this.frame = frame;
    this.run = "";
    $("key-form").addEventListener("submit", (event) => this.#unlock(event));
    $("label-form").addEventListener("submit", (event) => this.#say(event));
    this.#toggle(Boolean(sessionStorage.getItem(KEY)));
  }

  async show(run) {
    if (run === this.run) return;
    this.run = run;
    const answer = await fetch(`/api/labels?${new URLSearchParams({ uid: run })}`);
    if (!answer.ok) return;
    const told = await answer.json();
    $("teach").hidden = !told.takes_labels && !told.labels.length;
    $("key-form").hidden = !told.takes_labels || Boolean(sessionStorage.getItem(KEY));
    $("labels").replaceChildren(...told.labels.reverse().map(item));
  }

  #toggle(open) {
    $("key-form").hidden = open;
    $("label-form").hidden = !open;
  }

  async #unlock(event) {
    event.preventDefault();
    const key = $("key").value;
    const answer = await post("/api/key", key);
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

function post(path, key, body) {
  const headers = { "X-Ringwatch-Key": encodeURIComponent(key || "") };
  if (body) headers["Content-Type"] = "application/json";
  return fetch(path, { method: "POST", headers, body: body && JSON.stringify(body) });
}

function item(label) {
  const words = [`Frame ${label.index}: ${label.says}`, label.value, label.comment, `– ${label.by}`];
  return element("li", { textContent: words.filter(Boolean).join(" ") });
}
