// What is asked of the log. Every path is relative: a page below /NAME/ asks that log.

/** An answer of the log that is no success, or none at all. */
export class NoAnswer extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function get(path) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error" });
  } catch {
    throw new NoAnswer("the log does not answer", 0);
  }
  if (!response.ok) {
    const told = await response.json().catch(() => null);
    throw new NoAnswer(told?.error ?? `the log answers with status ${response.status}`, response.status);
  }
  return response;
}

async function json(path) {
  const response = await get(path);
  try {
    return await response.json();
  } catch {
    throw new NoAnswer("the log answers with something that is no JSON", response.status);
  }
}

export const state = () => json("v1/state");

export const history = (after) => json(after === null ? "v1/history" : `v1/history?after=${after}`);

/** The index of a leaf; null if the checkpoint has none. */
export async function find(leaf) {
  try {
    return (await json(`v1/find?leaf=${leaf}`)).index;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

export const inclusion = (index, size) => json(`v1/proof?index=${index}&size=${size}`);

export const consistency = (from, to) => json(`v1/consistency?from=${from}&to=${to}`);

export const entry = async (index) => new Uint8Array(await (await get(`v1/entry?index=${index}`)).arrayBuffer());

export const wasm = () => get("page/verifier.wasm");
