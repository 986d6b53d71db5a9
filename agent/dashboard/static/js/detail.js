// What is said of one frame: its flags, its label.
import { number, set } from "./lamp.js";

const $ = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function drawDetail(card, live) {
  if (!card) return;
  set("detail-title", `Frame ${card.raw_index}${live ? " (newest)" : " (chosen)"}`);
  const chip = $("detail-word");
  chip.hidden = false;
  chip.dataset.word = card.verdict;
  set("detail-word", card.final ? card.verdict : `${card.verdict}, provisional`);
  set("detail-reason", card.reason || "");
  drawRaised(card);
  drawClasses(card);
  set("taught-class", card.taught_class ? `Taught class: ${card.taught_class}` : "");
  const list = $("not-evaluated");
  const lines = (card.not_evaluated || "").split("\n").filter(Boolean);
  if (list.dataset.said !== card.not_evaluated) {
    list.dataset.said = card.not_evaluated;
    list.replaceChildren(...lines.map((line) => element("li", { textContent: line })));
    list.previousElementSibling.textContent = `Not evaluated: ${lines.length} flags`;
  }
}

function drawRaised(card) {
  const list = $("raised");
  const said = card.raised.map((flag) => {
    const value = flag.value === null ? "" : ` ${number(flag.value)} ${flag.unit}`.trimEnd();
    const z = flag.z === null ? "" : ` (${number(flag.z, 2)} σ)`;
    return [flag, `${flag.name}${value}${z}`];
  });
  for (const name of (card.taught || "").split(",").filter(Boolean)) said.push([{ severity: "information" }, `${name} (taught)`]);
  const all = said.map(([, text]) => text).join("|");
  if (list.dataset.said === all) return;
  list.dataset.said = all;
  if (!said.length) {
    list.replaceChildren(element("li", { textContent: "no flag raised" }));
    return;
  }
  list.replaceChildren(
    ...said.map(([flag, text]) => {
      const item = element("li", { textContent: text });
      item.dataset.severity = flag.severity;
      return item;
    }),
  );
}

const LATTICES = { a: "triclinic", m: "monoclinic", o: "orthorhombic", t: "tetragonal", h: "hexagonal", c: "cubic" };

function drawClasses(card) {
  const list = $("classes");
  $("unsure").hidden = !card.classes.length || !card.unsure;
  const top = card.classes.slice(0, 3);
  while (list.children.length < 3) list.append(element("li", {}, element("i"), element("span"), element("span")));
  [...list.children].forEach((item, i) => {
    const [bar, name, chance] = item.children;
    const found = top[i];
    item.hidden = !found && i > 0;
    const said = found ? `${found.symbol}  ${LATTICES[found.bravais[0]]} ${found.bravais}, no. ${found.number}` : "no label";
    if (name.textContent !== said) name.textContent = said;
    const share = found ? `${(100 * found.probability).toFixed(1)} %` : "";
    if (chance.textContent !== share) chance.textContent = share;
    bar.style.width = found ? `${100 * found.probability}%` : "0";
  });
}
