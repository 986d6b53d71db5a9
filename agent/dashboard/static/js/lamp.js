// The lamp: the newest verdict, or grey where there is none to be trusted.
const $ = (id) => document.getElementById(id);
const LEAST_QUIET_S = 5;
const PERIODS = 5; // frames that may be missing before it is stale
const SPEAK_MS = 2000;

let spoken = "";
let spokenAt = 0;

export function seconds(s) {
  if (!(s >= 0)) return "–";
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5)) return String(Number(value.toPrecision(digits)));
  return value.toExponential(digits - 1);
}

// What the lamp shows: {word, reason}. `live` is what feed and clock say.
export function lampOf(live) {
  const { run, card, linked, age, period } = live;
  if (!linked && !run) return { word: "waiting", reason: "The agent cannot be reached. Trying again." };
  if (!linked) return { word: "stale", reason: `The agent cannot be reached; the last verdict was ${card ? card.verdict : "none"}, ${seconds(age)} ago. Trying again.` };
  if (!run || !card) return { word: "waiting", reason: "No verdict has come yet: waiting for a frame." };
  if (age > Math.max(LEAST_QUIET_S, PERIODS * period)) {
    const why = run.ended ? `The run has ended (${run.ended}).` : "The run has not ended.";
    return { word: "stale", reason: `Nothing new for ${seconds(age)}. ${why} The last verdict was ${card.verdict}.` };
  }
  return { word: card.verdict, reason: card.reason };
}

export function drawLamp(live) {
  const { word, reason } = lampOf(live);
  const lamp = $("lamp");
  if (lamp.dataset.word !== word) lamp.dataset.word = word;
  set("word", word);
  set("reason", reason);
  set("counts", countsOf(live));
  document.title = `${word === "stale" || word === "waiting" ? "◌" : "●"} ${word} – Ringwatch`;
  speak(word, reason);
}

function countsOf({ run, account, oldest, card, age }) {
  if (!run) return "";
  const told = account || (run.counts.announced ? run.counts : null);
  const done = told ? told.final : run.final;
  const all = told ? told.announced : run.order.length;
  const lag = Math.max(oldest, ((card && card.latency_ms) || 0) / 1000);
  return `frame ${run.newest} · analysed ${done} of ${all}, lag ${seconds(lag)}, age ${seconds(age)}`;
}

// A screen reader hears of a change, not of each frame.
function speak(word, reason) {
  const now = performance.now();
  if (word === spoken || now - spokenAt < SPEAK_MS) return;
  [spoken, spokenAt] = [word, now];
  $("announce").textContent = `Verdict ${word}. ${reason}`;
}

export function set(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}
