// The page: what is live, what is looked at, and what has to be drawn again.
import { drawDetail } from "./detail.js";
import { connect } from "./feed.js";
import { drawLamp } from "./lamp.js";
import { fetchMessage } from "./message.js";
import { Pattern } from "./pattern.js";
import { Picture } from "./picture.js";
import { Run } from "./run.js";
import { Runs, list, title, when } from "./runs.js";
import { Strip } from "./strip.js";
import { Teach } from "./teach.js";

const $ = (id) => document.getElementById(id);
const STRIP_MS = 250; // the strip of all frames is drawn less often than the newest one

// What tests and curious people may read: frames drawn, and their way from the feed.
const stats = { drawn: 0, newest: -1, run: "", first: 0, ways: [] };
window.ringwatch = stats;

const live = { run: null, card: null, frame: {}, linked: false, clock: Infinity, oldest: 0, account: null, period: 0, age: 0 };
let stored = null; // an earlier run that is looked at
let chosen = null; // a frame that is looked at: {index, card, message, frame, why}
let trouble = ""; // why a run that was asked for is not there
let due = false;
let stripDue = 0;
let handedOver = 0;

const pattern = new Pattern();
const picture = new Picture();
const strip = new Strip(choose);
const runs = new Runs(openRun);
const teach = new Teach(shownFrame, hold);

const shownRun = () => stored || live.run;
const shownCard = () => (chosen ? chosen.card : stored ? stored.card : live.card);

function shownFrame() {
  const [run, card] = [shownRun(), shownCard()];
  const index = chosen ? chosen.index : card ? card.raw_index : null;
  return run && index !== null ? { run: run.uid, stream: run.stream, data_key: run.dataKey, index } : null;
}

// Who labels means the frame they see: it stays, whatever comes meanwhile.
function hold() {
  const frame = shownFrame();
  if (frame && !chosen) choose(frame.index, shownCard());
}

connect(take, (linked) => {
  live.linked = linked;
  $("link").dataset.state = linked ? "here" : "away";
  $("link").textContent = linked ? "live" : "reconnecting";
  ask();
});
setInterval(ask, 500); // ages grow though nothing comes
window.addEventListener("resize", () => ask(true));
window.addEventListener("theme", () => ask(true));
document.addEventListener("keydown", (event) => event.key === "Escape" && (chosen || stored || trouble) && toLive());
$("live").addEventListener("click", toLive);
openNewest();

function take(message) {
  live.clock = Math.min(live.clock, Date.now() / 1000 - message.now);
  live.oldest = message.oldest_s || 0;
  live.account = message.account || null;
  if (message.kind !== "news") return ask();
  if (message.info) {
    if (chosen && !stored && teach.busy) stored = live.run; // else the label would be the new run's
    live.run = new Run(message.info, message.arrays.q);
    Object.assign(live, { card: null, frame: {}, period: 0 });
    if (chosen && !stored) chosen = null;
  }
  const before = live.run.newestAt;
  live.run.take(message);
  if (before && message.newest_at > before) live.period += (message.newest_at - before - live.period) * (live.period ? 0.2 : 1);
  const { arrays, shapes, picture: header } = message;
  if (message.card) Object.assign(live, { card: message.card }), (live.frame = { ...live.frame, intensity: arrays.intensity, sigma: arrays.sigma });
  if (header) live.frame = { ...live.frame, header, preview: arrays.preview, shape: shapes.preview, cake: arrays.cake, cakeShape: shapes.cake };
  if (message.lines) live.frame = { ...live.frame, lines: message.lines };
  if (message.card) handedOver = message.newest_at * 1000;
  ask();
}

function ask(all = false) {
  if (all) stripDue = 0;
  if (due) return;
  due = true;
  requestAnimationFrame(draw);
}

function draw() {
  due = false;
  live.age = live.run ? Date.now() / 1000 - live.clock - live.run.newestAt : NaN;
  drawLamp(live);
  const [run, card] = [shownRun(), shownCard()];
  if (run) {
    drawHead(run);
    drawDetail(card, !chosen && !stored);
    drawFrame(run);
    teach.show(run.uid);
    teach.name(chosen && chosen.index);
    const now = performance.now();
    if (now - stripDue > STRIP_MS) {
      strip.show(run, chosen && chosen.index);
      stripDue = now;
    } else setTimeout(ask, STRIP_MS);
  }
  if (handedOver) {
    stats.drawn += 1;
    stats.first ||= performance.now(); // since the navigation
    Object.assign(stats, { newest: live.run.newest, run: live.run.uid });
    stats.ways.push([live.run.newest, Date.now() - handedOver]);
    if (stats.ways.length > 1000) stats.ways.shift();
    handedOver = 0;
  }
}

function drawHead(run) {
  const said = trouble || `${stored ? "Earlier run: " : ""}${title({ ...run.info.start, run: run.uid })}${stored ? `, ${when(run.info.start.time)}` : ""}`;
  if ($("title").textContent !== said) $("title").textContent = said;
  $("live").hidden = !chosen && !trouble && !(stored && live.run);
}

let drawnFrame = null;

function drawFrame(run) {
  const frame = frameOf(run);
  const said = (chosen && chosen.why) || frame.noPattern || "";
  if ($("pattern-said").textContent !== said) $("pattern-said").textContent = said;
  if (frame === drawnFrame) return;
  const before = drawnFrame || {};
  drawnFrame = frame;
  pattern.show({ q: run.q, intensity: frame.intensity, sigma: frame.sigma, reference: run.reference, referenceOf: run.referenceOf, lines: frame.lines });
  if (frame.preview !== before.preview || frame.lines !== before.lines || frame.why !== before.why) picture.show({ ...frame, q: run.q });
}

function frameOf(run) {
  if (chosen && chosen.message) return chosen.frame;
  return run === live.run ? live.frame : run.frame || {};
}

function frameIn(message) {
  const { arrays, shapes } = message;
  return { intensity: arrays.intensity, sigma: arrays.sigma, header: message.picture, preview: arrays.preview, shape: shapes.preview, cake: arrays.cake, cakeShape: shapes.cake, lines: message.lines || null, why: message.no_picture || "", noPattern: message.no_pattern || "" };
}

async function choose(index, card = null) {
  if (index === null) return toLive();
  const run = shownRun();
  trouble = "";
  chosen = { index, card, message: null, why: "" };
  const mine = chosen;
  ask(true);
  try {
    const message = await fetchMessage("/api/frame", { uid: run.uid, stream: run.stream, data_key: run.dataKey, index });
    if (chosen !== mine) return;
    Object.assign(chosen, { message, card: message.card, frame: frameIn(message) });
  } catch (error) {
    if (chosen !== mine) return;
    chosen.why = `Frame ${index} cannot be shown: ${error.message}.`;
  }
  ask(true);
}

function toLive() {
  chosen = null;
  trouble = "";
  if (live.run) stored = null;
  ask(true);
}

async function openRun(uid) {
  chosen = null;
  if (live.run && live.run.uid === uid) return toLive();
  trouble = "Loading the run from Tiled …";
  $("title").textContent = trouble;
  try {
    const message = await fetchMessage("/api/run", { uid });
    const run = new Run(message.info, message.arrays.q);
    run.take(message);
    run.card = message.card;
    stored = run;
    await choose(run.newest);
  } catch (error) {
    trouble = `The run cannot be shown: ${error.message}.`;
    $("title").textContent = trouble;
  }
}

// Where the agent has seen nothing yet, the newest run that is stored.
async function openNewest() {
  const told = await list(0);
  if (live.run || stored || told.runs.some((run) => run.in_memory)) return;
  if (told.runs.length) await openRun(told.runs[0].raw_uid);
  else if (told.tiled) $("title").textContent = `No earlier run: ${told.tiled}.`;
}
