// What this browser knows of the log from before: its key, and the last checkpoint that it verified.
//
// A checkpoint is believed if the trusted key signed it and if it continues the last one that was believed. Both stay in
// the browser over visits, so a log that exchanges its key or its history is noticed.

import * as log from "./log.js";
import { DoesNotHold } from "./verifier.js";
import { moment, number } from "./words.js";

const PLACE = `duramen ${location.pathname}`;

function recalled() {
  try {
    return JSON.parse(localStorage.getItem(PLACE)) ?? {};
  } catch {
    // Storage that is refused or damaged knows nothing.
    return {};
  }
}

/** A key in the address, behind `#key=`: the giver of the link says that it is the log's. */
function inAddress() {
  return new URLSearchParams(location.hash.slice(1)).get("key");
}

export class Trust {
  constructor(verifier) {
    this.verifier = verifier;
    this.known = recalled();
    this.given = inAddress();
    /** The last checkpoint that was believed, verified. */
    this.checkpoint = null;
    /** When the checkpoint was noted, on an earlier visit, that those of this visit continue. */
    this.continues = null;
    this.visited = this.known.noted ?? null;
  }

  /** Whether the address has another key than before. From then on that one is used. */
  hasOtherAddress() {
    const before = this.given;
    this.given = inAddress();
    if (this.given !== before) this.checkpoint = null;
    return this.given !== before;
  }

  /** The key to verify with, given the one that the log shows. */
  key(shown) {
    return this.given ?? this.known.key ?? shown;
  }

  /** How this browser came to the key. */
  source(shown) {
    if (this.given !== null) return "It is the one in the address of this page.";
    if (this.known.key === undefined) return "It is the one that this log shows; nothing was verified with it yet.";
    const since = moment(this.known.since);
    const how = this.known.own ? `You entered it on ${since}.` : `This log showed it on your first visit, on ${since}.`;
    return shown === this.known.key ? how : `${how} The log now shows another one.`;
  }

  /** Trusts a key that the user has from elsewhere. */
  enter(key) {
    this.verifier.key(key);
    this.known = { key, own: true, since: Date.now() };
    this.checkpoint = null;
    this.keep();
  }

  forget() {
    this.known = {};
    this.checkpoint = null;
    this.continues = null;
    this.visited = null;
    try {
      localStorage.removeItem(PLACE);
    } catch {
      // There was nothing to be forgotten.
    }
  }

  /**
   * Believes the checkpoint of `state`, or throws: `DoesNotHold` if it must not be believed, another error if it could
   * not be found out.
   */
  async believe(state) {
    const [shown, ...others] = state.keys;
    const key = this.key(shown);
    const { origin, checkpoint } = state;
    if (key === undefined) throw new Error("the log shows no public key, and this browser knows none");
    if (checkpoint === null) throw new Error("the log shows no checkpoint");
    if (this.known.origin !== undefined && this.known.origin !== origin) {
      throw new DoesNotHold(`the log was called ${this.known.origin}, and is now called ${origin}`);
    }
    if (this.checkpoint?.note === checkpoint.note) return this.checkpoint;
    const verified = this.verified(checkpoint.note, origin, key, shown, others);
    const last = this.known.note;
    if (last !== undefined && last !== checkpoint.note) {
      await this.compare(last, verified, origin, key);
      this.continues = this.visited;
    }
    this.checkpoint = verified;
    // A key that a link gives for this visit does not replace what was known before.
    if (this.known.key !== undefined && this.known.key !== key) return verified;
    const since = this.known.since ?? Date.now();
    this.known = { ...this.known, key: this.known.key ?? key, origin, since, note: verified.note, noted: Date.now() };
    this.keep();
    return verified;
  }

  verified(note, origin, key, shown, others) {
    try {
      return this.verifier.checkpoint(note, origin, key, others);
    } catch (error) {
      const whose = key === shown ? "that it shows" : "that this browser knows, and shows another one";
      throw new DoesNotHold(`the checkpoint is not signed by the key ${whose} (${error.message})`);
    }
  }

  /** Refuses a checkpoint that does not continue the last one. */
  async compare(last, verified, origin, key) {
    let before;
    try {
      before = this.verifier.checkpoint(last, origin, key, []);
    } catch {
      // It was signed by a key that is not trusted any more.
      return;
    }
    if (verified.size < before.size) {
      const sizes = `${number(before.size)} entries, and now shows one with ${number(verified.size)}`;
      throw new DoesNotHold(`the log went back: it signed a checkpoint with ${sizes}`);
    }
    const proof = await log.consistency(before.size, verified.size);
    try {
      this.verifier.consistency(last, verified.note, origin, key, proof.hashes ?? []);
    } catch (error) {
      const noted = moment(this.known.noted);
      throw new DoesNotHold(`the checkpoint does not continue the one that this browser saw on ${noted}: ${error.message}`);
    }
  }

  keep() {
    try {
      localStorage.setItem(PLACE, JSON.stringify(this.known));
    } catch {
      // Then it is known until the page is closed.
    }
  }
}
