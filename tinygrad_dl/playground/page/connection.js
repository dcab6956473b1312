// The socket to the server: messages as JSON, frames as bytes, and a new connection when one is lost.
// @ts-check

/**
 * The arrays of a frame by name, and what its header says.
 * @typedef {{header: any, arrays: Record<string, {data: Uint8Array | Int8Array | Float32Array, shape: number[]}>}} Frame
 */

const KINDS = { u1: Uint8Array, i1: Int8Array, f4: Float32Array };

/**
 * Read a frame: the header's length, the header, the arrays.
 * @param {ArrayBuffer} buffer
 * @returns {Frame}
 */
export function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  /** @type {Frame["arrays"]} */
  const arrays = {};
  for (const [name, { dtype, shape, offset }] of Object.entries(header.arrays)) {
    const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    arrays[name] = { data: new KINDS[/** @type {keyof typeof KINDS} */ (dtype)](buffer, 4 + length + offset, count), shape };
  }
  return { header, arrays };
}

export class Connection {
  /**
   * @param {string} token
   * @param {{open: () => void, frame: (frame: Frame) => void, answer: (answer: any) => void, lost: () => void}} on
   */
  constructor(token, on) {
    this.token = token;
    this.on = on;
    this.tries = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.final = false;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(`ws://${location.host}/tab?token=${encodeURIComponent(this.token)}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.tries = 0;
      this.on.open();
    };
    socket.onmessage = (event) => {
      if (typeof event.data !== "string") {
        this.on.frame(decode(event.data));
        return;
      }
      const answer = JSON.parse(event.data);
      this.final = this.final || Boolean(answer.final);
      this.on.answer(answer);
    };
    socket.onclose = () => {
      if (this.final) return;
      this.on.lost();
      this.tries += 1;
      setTimeout(() => this.connect(), Math.min(4000, 250 * 2 ** this.tries));
    };
  }

  /** @param {object} message */
  send(message) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
