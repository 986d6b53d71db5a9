// What is known of one run: a row a frame, a column of the waterfall a frame.
const MOST = 8192;
const SPARE = 1024;

export class Run {
  constructor(info, q) {
    this.info = info;
    this.uid = info.run;
    this.stream = info.stream;
    this.dataKey = info.data_key;
    this.q = q || null;
    this.at = Object.fromEntries(info.row.map((name, i) => [name, i]));
    this.rows = new Map();
    this.columns = new Map();
    this.order = [];
    this.fromStart = 0; // rises when positions move
    this.flagsSeen = 0;
    this.newest = -1;
    this.newestAt = 0;
    this.ended = "";
    this.counts = {};
    this.reference = null;
    this.referenceOf = [];
    this.final = 0;
  }

  take(message) {
    const { rows, arrays, shapes } = message;
    const tall = shapes.film ? shapes.film[1] : 0;
    rows.forEach((row, i) => {
      const index = row[0];
      const before = this.rows.get(index);
      if (!before) this.#place(index);
      else if (this.value(before, "final")) this.final -= 1;
      if (this.value(row, "final")) this.final += 1;
      this.rows.set(index, row);
      this.flagsSeen = (this.flagsSeen | this.value(row, "dq")) >>> 0;
      if (tall) this.columns.set(index, arrays.film.slice(i * tall, (i + 1) * tall));
      if (before) this.fromStart += 1;
    });
    Object.assign(this, { newest: message.newest, newestAt: message.newest_at, ended: message.ended, counts: message.counts });
    if (message.reference_of) {
      this.referenceOf = message.reference_of;
      this.reference = arrays.reference ? { mean: arrays.reference, sigma: arrays.reference_sigma } : null;
    }
    if (this.order.length > MOST + SPARE) this.#forget();
  }

  value(row, name) {
    return row[this.at[name]];
  }

  get(index, name) {
    const row = this.rows.get(index);
    return row && this.value(row, name);
  }

  word(index) {
    return this.info.words[this.get(index, "word")] || "unknown";
  }

  // Flags raised in this run, by their bit.
  get flags() {
    return this.info.flags.filter((flag) => (this.flagsSeen >>> flag.bit) & 1);
  }

  #place(index) {
    const last = this.order[this.order.length - 1];
    this.order.push(index);
    if (last !== undefined && index < last) {
      this.order.sort((a, b) => a - b);
      this.fromStart += 1;
    }
  }

  #forget() {
    for (const index of this.order.splice(0, this.order.length - MOST)) {
      this.rows.delete(index);
      this.columns.delete(index);
    }
    this.fromStart += 1;
  }
}
