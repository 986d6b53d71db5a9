// The socket: comes back by itself, and is taken for lost when it falls silent.
import { unpack } from "./message.js";

const SILENT_MS = 4000;
const LONGEST_WAIT_MS = 5000;

export function connect(onMessage, onLink) {
  let wait = 250;
  let heard = 0;
  let socket;
  const open = () => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}/live`);
    socket.binaryType = "arraybuffer";
    heard = performance.now();
    socket.onmessage = (event) => {
      heard = performance.now();
      wait = 250;
      onLink(true);
      onMessage(unpack(event.data));
    };
    socket.onclose = () => {
      onLink(false);
      setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    };
  };
  setInterval(() => {
    if (performance.now() - heard > SILENT_MS && socket.readyState < WebSocket.CLOSING) socket.close();
  }, 1000);
  open();
}
