// The frame as the detector has it, the rings of the class over it, and the cake.
import { HEAT, colour, packed } from "./colour.js";
import { number } from "./lamp.js";

const $ = (id) => document.getElementById(id);
const MASKED = 255;

export class Picture {
  constructor() {
    this.shown = null;
    $("rings").addEventListener("change", () => this.draw());
    window.addEventListener("theme", () => this.draw());
  }

  // `shown`: {header, preview, shape, cake, cakeShape, lines, q, why}
  show(shown) {
    this.shown = shown;
    this.draw();
  }

  draw() {
    const { shown } = this;
    if (!shown) return;
    const none = $("no-picture");
    none.hidden = !shown.why;
    if (shown.why) none.textContent = `No picture: ${shown.why}`;
    if (!shown.preview) {
      for (const id of ["image", "cake"]) $(id).getContext("2d").clearRect(0, 0, $(id).width, $(id).height);
      $("image").setAttribute("aria-label", `No picture of the frame: ${shown.why || "none yet"}`);
      return;
    }
    const { header } = shown;
    paint($("image"), shown.preview, shown.shape, false);
    paint($("cake"), shown.cake, shown.cakeShape, true);
    if ($("rings").checked) this.#rings();
    const range = `log of counts from ${number(header.low)} (dark) to ${number(header.high)} (bright); masked is flat grey`;
    $("picture-title").textContent = `Detector, frame ${header.index}`;
    $("image-scale").textContent = `${header.shape[1]} × ${header.shape[0]} px, ${range}.`;
    const rings = shown.lines ? shown.lines.q.length : 0;
    $("image").setAttribute("aria-label", `Detector picture of frame ${header.index}, ${range}; ${rings ? `${rings} rings of the predicted class drawn over it` : "no rings drawn"}`);
    const { q } = shown;
    if (q) {
      const said = `q ${q[0].toFixed(1)} … ${q[q.length - 1].toFixed(1)} Å⁻¹`;
      $("cake").setAttribute("aria-label", `Cake of frame ${header.index}: 32 sectors of azimuth over ${said}; straight lines are round rings`);
    }
  }

  #rings() {
    const { lines, header, shape } = this.shown;
    if (!lines || !lines.curves.length) return;
    const context = $("image").getContext("2d");
    context.strokeStyle = colour("ring");
    context.lineWidth = Math.max(1, shape[1] / 420);
    context.globalAlpha = 0.75;
    context.setLineDash([shape[1] / 90, shape[1] / 60]);
    for (const curves of lines.curves) {
      for (const points of curves) {
        context.beginPath();
        for (let i = 0; i < points.length; i += 2) context.lineTo(points[i] / header.block, points[i + 1] / header.block);
        context.stroke();
      }
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }
}

function paint(canvas, levels, [h, w], upwards) {
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  if (!upwards) canvas.style.aspectRatio = `${w} / ${h}`;
  const image = new ImageData(w, h);
  const pixels = new Uint32Array(image.data.buffer);
  const mask = packed(colour("mask"));
  for (let y = 0; y < h; y++) {
    const from = (upwards ? h - 1 - y : y) * w;
    for (let x = 0; x < w; x++) {
      const level = levels[from + x];
      pixels[y * w + x] = level === MASKED ? mask : HEAT[level];
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
