// The verifier: WebAssembly, and how it is called. log/page/verifier/src has its source and says what each question is.

import * as log from "./log.js";

/** Something that was to be verified does not hold. */
export class DoesNotHold extends Error {}

const LEAF = 1;
const KEY = 2;
const CHECKPOINT = 3;
const INCLUSION = 4;
const CONSISTENCY = 5;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export class Verifier {
  static async load() {
    const bytes = await (await log.wasm()).arrayBuffer();
    const { instance } = await WebAssembly.instantiate(bytes, {});
    return new Verifier(instance.exports);
  }

  constructor(exports) {
    this.exports = exports;
  }

  /** The hash of an entry. */
  leaf(entry) {
    return this.ask(LEAF, entry)[0];
  }

  /** Name, id and type of a public key. */
  key(text) {
    const [name, id, type] = this.ask(KEY, text);
    return { name, id, type };
  }

  /** A signed checkpoint: size, root and signatures. */
  checkpoint(note, origin, key, others) {
    const [size, root, ...rest] = this.ask(CHECKPOINT, note, origin, key, others.join("\n"));
    const signatures = [];
    for (let at = 0; at < rest.length; at += 4) {
      const [name, id, state, time] = rest.slice(at, at + 4);
      signatures.push({ name, id, state, time: time === "" ? null : Number(time) * 1000 });
    }
    return { note, size: Number(size), root, signatures };
  }

  /** The path of a leaf up to the root of a signed checkpoint. */
  inclusion(note, origin, key, index, leaf, siblings) {
    const asked = [note, origin, key, String(index), leaf, siblings.join("\n")];
    const [size, root, ...rest] = this.ask(INCLUSION, ...asked);
    const steps = [];
    for (let at = 0; at < rest.length; at += 3) {
      const [side, sibling, node] = rest.slice(at, at + 3);
      steps.push({ side, sibling, node });
    }
    return { size: Number(size), root, steps };
  }

  /** That a signed checkpoint continues another. */
  consistency(older, newer, origin, key, hashes) {
    const [from, to] = this.ask(CONSISTENCY, older, newer, origin, key, hashes.join("\n"));
    return { from: Number(from), to: Number(to) };
  }

  ask(question, ...fields) {
    const bytes = fields.map((field) => (typeof field === "string" ? encoder.encode(field) : field));
    const length = bytes.reduce((sum, field) => sum + 4 + field.length, 1);
    const { memory, duramen_request, duramen_answer, duramen_answer_len } = this.exports;
    const place = duramen_request(length);
    // The memory may have grown, so it is looked at anew.
    const request = new Uint8Array(memory.buffer, place, length);
    request[0] = question;
    let at = 1;
    for (const field of bytes) {
      new DataView(memory.buffer).setUint32(place + at, field.length);
      request.set(field, at + 4);
      at += 4 + field.length;
    }
    const answer = duramen_answer();
    const [outcome, ...rest] = unpack(new Uint8Array(memory.buffer, answer, duramen_answer_len()));
    if (outcome !== "ok") throw new DoesNotHold(rest[0] ?? "the verifier gives no reason");
    return rest;
  }
}

function unpack(bytes) {
  const fields = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + view.getUint32(at);
    fields.push(decoder.decode(bytes.subarray(at + 4, end)));
    at = end;
  }
  return fields;
}
