// One message: u32 length of the header, JSON, then the arrays that its parts name.
const KINDS = { f4: [Float32Array, 4], u1: [Uint8Array, 1] };

export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  header.arrays = {};
  header.shapes = {};
  let at = 4 + length;
  for (const [name, kind, shape] of header.parts) {
    const [Array_, size] = KINDS[kind];
    const n = shape.reduce((a, b) => a * b, 1);
    header.arrays[name] = new Array_(buffer, at, n);
    header.shapes[name] = shape;
    at += Math.ceil((n * size) / 4) * 4;
  }
  return header;
}

export async function fetchMessage(path, parameters) {
  const answer = await fetch(`${path}?${new URLSearchParams(parameters)}`);
  if (!answer.ok) throw new Error(await whyNot(answer));
  return unpack(await answer.arrayBuffer());
}

export async function whyNot(answer) {
  const told = await answer.json().catch(() => null);
  const detail = told && told.detail;
  return typeof detail === "string" ? detail : `the server answers ${answer.status}`;
}
