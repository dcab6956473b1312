// A recording in the place of the server: it answers the page's messages with the frames and answers that it holds.
// @ts-check
import { decode } from "./connection.js";

/** @typedef {import("./connection.js").Frame} Frame */

const PAUSE = 140; // milliseconds between two frames while playing

/**
 * The parts of a recording, each after its length: base64 of bytes compressed with zlib.
 * @param {string} text
 * @returns {Promise<ArrayBuffer[]>}
 */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const view = new DataView(buffer), parts = [];
  for (let at = 0; at < buffer.byteLength; ) {
    const length = view.getUint32(at, true);
    parts.push(buffer.slice(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return parts;
}

/**
 * What the page starts with, and the frames.
 * @param {string} text
 */
export async function readRecording(text) {
  const [head, ...blocks] = await unpack(text);
  return { start: JSON.parse(new TextDecoder().decode(head)), frames: blocks.map(decode) };
}

/** @param {any} message */
const keyOf = (message) => ["type", "run", "layer", "unit", "input", "format"].map((name) => message[name] ?? "").join(" ");

export class Recording {
  /**
   * @param {{start: any, frames: Frame[]}} recording
   * @param {{frame: (frame: Frame) => void, answer: (answer: any) => void}} on
   */
  constructor({ start, frames }, on) {
    this.frames = frames;
    this.on = on;
    /** @type {Map<string, any>} */
    this.answers = new Map(start.answers.map((/** @type {any} */ answer) => [keyOf(answer), answer]));
    this.at = 0;
    this.timer = 0;
    this.number = 0; // of the page's configuration
  }

  get last() {
    return this.frames.length - 1;
  }

  /**
   * Show a frame, with the curves up to its step.
   * @param {number} at
   */
  show(at) {
    this.at = Math.max(0, Math.min(this.last, at));
    const { header, arrays } = this.frames[this.at], step = header.runs[0].step;
    const all = { ...this.frames[this.last].arrays };
    for (const name of Object.keys(all)) if (!name.includes("/curve_")) delete all[name];
    for (const [name, { data, shape }] of Object.entries(all)) {
      let end = 0;
      while (end < data.length && data[end] <= step) end += shape[1];
      all[name] = { data: data.subarray(0, end), shape: [end / shape[1], shape[1]] };
    }
    const last = this.frames[this.last].header.runs[0].step;
    const runs = header.runs.map((/** @type {any} */ run) => ({ ...run, last }));
    this.on.frame({ header: { ...header, number: this.number, runs, playing: this.timer !== 0, ended: this.at === this.last }, arrays: { ...arrays, ...all } });
  }

  stop() {
    window.clearInterval(this.timer);
    this.timer = 0;
  }

  /** @param {any} message as it would go to the server */
  send(message) {
    if (message.type === "play") {
      this.stop();
      if (this.at === this.last) this.at = -1;
      this.timer = window.setInterval(() => {
        if (this.at + 1 === this.last) this.stop();
        this.show(this.at + 1);
      }, PAUSE);
    } else if (message.type === "pause") this.stop();
    else if (message.type === "configure") {
      this.number = message.number;
      this.stop();
      this.show(0);
    } else if (message.type === "advance") this.show(this.at + 1);
    else if (message.type === "seek") {
      const ahead = message.step > this.frames[this.at].header.runs[0].step;
      const steps = this.frames.map((frame) => frame.header.runs[0].step);
      this.show(ahead ? steps.findIndex((step) => step >= message.step) : steps.findLastIndex((step) => step <= message.step));
    } else if (message.type !== "seen" && message.type !== "example") {
      const answer = this.answers.get(keyOf(message));
      this.on.answer(answer ?? { type: "error", code: "notRecorded" });
    }
  }
}
