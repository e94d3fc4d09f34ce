// node contract.mjs PACKAGE: compiles the contract and runs it in a virtual machine of Ethereum, against the test vectors and
// against PACKAGE, the library compiled to WebAssembly. `--version` names the compiler and the machine and does nothing.
//
// The npm packages solc, @ethereumjs/evm and @noble/hashes are those of target/tools/ethereum.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const tools = createRequire(join(root, "target/tools/ethereum/package.json"));
const solc = tools("solc");
const { createEVM } = tools("@ethereumjs/evm");
const { keccak_256 } = await import(pathToFileURL(tools.resolve("@noble/hashes/sha3.js")));

if (process.argv[2] === "--version") {
  console.log(`solc ${solc.version()} and a virtual machine`);
  process.exit(0);
}

const ARITIES = [2, 4, 8, 16];
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const word = (number) => BigInt(number).toString(16).padStart(64, "0");
const padded = (text) => text.padEnd(Math.ceil(text.length / 64) * 64, "0");
const bits = (arity) => Math.log2(arity);

/** The code and the selectors of the contract. Any warning of the compiler is a failure. */
function compiled() {
  const name = "DuramenProof.sol";
  const content = readFileSync(new URL(`../contracts/${name}`, import.meta.url), "utf8");
  const output = JSON.parse(
    solc.compile(
      JSON.stringify({
        language: "Solidity",
        sources: { [name]: { content } },
        settings: {
          evmVersion: "paris",
          optimizer: { enabled: true, runs: 10_000 },
          outputSelection: { "*": { "*": ["evm.deployedBytecode.object", "evm.methodIdentifiers"] } },
        },
      }),
    ),
  );
  if (output.errors?.length) throw new Error(output.errors.map((error) => error.formattedMessage).join("\n"));
  const { deployedBytecode, methodIdentifiers } = output.contracts[name].DuramenVerifier.evm;
  return { code: bytes(deployedBytecode.object), selectors: methodIdentifiers };
}

const { code, selectors } = compiled();
const machine = await createEVM();

/** What a call is sent as: a selector, words, and a list of words or a string of bytes at the end. */
function data(signature, words, last) {
  const selector = selectors[signature];
  if (selector === undefined) throw new Error(`no function ${signature}`);
  const list = Array.isArray(last)
    ? word(last.length) + last.join("")
    : word(last.length / 2) + padded(last);
  return selector + words.join("") + word((words.length + 1) * 32) + list;
}

/** What the contract gives back, and the gas of running it. `null` if it reverts. */
async function send(text) {
  const result = await machine.runCode({ code, data: bytes(text), gasLimit: 30_000_000n });
  if (result.exceptionError?.error === "revert") return null;
  if (result.exceptionError) throw new Error(result.exceptionError.error);
  return { output: hex(result.returnValue), gas: Number(result.executionGasUsed), sent: text };
}

async function holds(signature, words, last) {
  const answer = await send(data(signature, words, last));
  if (answer === null || ![word(0), word(1)].includes(answer.output)) throw new Error(`${signature} does not answer`);
  return { ...answer, holds: answer.output === word(1) };
}

const inclusion = (arity, head, index, leaf, proof) => {
  const form = Array.isArray(proof) ? "Inclusion(uint8,bytes32,uint64,uint64,bytes32,bytes32[])" : "EncodedInclusion(uint8,bytes32,uint64,uint64,bytes32,bytes)";
  return holds(`verify${form}`, [word(bits(arity)), head.root, word(head.size), word(index), leaf], proof);
};
const consistency = (arity, old, head, proof) => {
  const form = Array.isArray(proof) ? "Consistency(uint8,bytes32,uint64,bytes32,uint64,bytes32[])" : "EncodedConsistency(uint8,bytes32,uint64,bytes32,uint64,bytes)";
  return holds(`verify${form}`, [word(bits(arity)), old.root, word(old.size), head.root, word(head.size)], proof);
};

const done = { accepted: 0, refused: 0 };
const must = (expected, answer, what) => {
  if (answer.holds !== expected) throw new Error(`${expected ? "refused" : "accepted"}: ${what}`);
  done[expected ? "accepted" : "refused"] += 1;
};

async function vectors(arity) {
  const file = JSON.parse(readFileSync(join(root, `tests/vectors/keccak256-${arity}.json`), "utf8"));
  if (file.inclusion.length < 30 || file.consistency.length < 40) throw new Error("vectors are missing");
  for (const one of file.inclusion) {
    const asked = [arity, one.head, one.index, one.leaf];
    const what = `leaf ${one.index} of ${one.head.size}, arity ${arity}`;
    must(true, await inclusion(...asked, one.hashes), what);
    must(true, await inclusion(...asked, one.bytes), what);
    must(false, await inclusion(...asked, [...one.hashes, one.leaf]), `${what}, a hash more`);
  }
  for (const one of file.consistency) {
    const what = `${one.old.size} to ${one.new.size}, arity ${arity}`;
    must(true, await consistency(arity, one.old, one.new, one.hashes), what);
    must(true, await consistency(arity, one.old, one.new, one.bytes), what);
    must(false, await consistency(arity, one.old, one.new, [...one.hashes, one.new.root]), `${what}, a hash more`);
  }
  for (const { why, claim, bytes: proof } of file.refused) {
    const { inclusion: one, consistency: two } = claim;
    if (one) must(false, await inclusion(arity, one.head, one.index, one.leaf, proof), `${why}, arity ${arity}`);
    if (two) must(false, await consistency(arity, two.old, two.new, proof), `${why}, arity ${arity}`);
  }
  for (const one of file.leaves_of_data) {
    const { output } = await send(data("leafOf(bytes)", [], one.data));
    if (output !== one.leaf) throw new Error(`the leaf of ${one.data} is ${output}`);
  }
}

/** The levels of a tree: a group of nodes is hashed, and a node that is alone is lifted. */
function levels(arity, leaves) {
  const all = [leaves];
  while (all.at(-1).length > 1) {
    const [below, above] = [all.at(-1), []];
    for (let first = 0; first < below.length; first += arity) {
      const group = below.slice(first, first + arity);
      above.push(group.length === 1 ? group[0] : hex(keccak_256(bytes(group.join("")))));
    }
    all.push(above);
  }
  return all;
}

function prove(arity, all, index) {
  const proof = [];
  for (const level of all.slice(0, -1)) {
    const first = index - (index % arity);
    proof.push(...level.slice(first, first + arity).filter((_, at) => first + at !== index));
    index = Math.floor(index / arity);
  }
  return proof;
}

/** From the leaves up: the path above the last leaf of the old tree, from the level on which that tree has complete nodes only. */
function proveConsistency(arity, all, old) {
  if (old === 0 || old === all[0].length) return [];
  let [start, complete] = [0, old];
  while (complete % arity === 0) [start, complete] = [start + 1, complete / arity];
  const proof = [];
  for (let level = start, at = complete - 1; level < all.length - 1; level += 1, at = Math.floor(at / arity)) {
    const first = at - (at % arity);
    const kept = level === start && complete !== 1 ? -1 : at;
    proof.push(...all[level].slice(first, first + arity).filter((_, place) => first + place !== kept));
  }
  return proof;
}

let state = 0x9e3779b9;
/** Numbers that look random, always the same. */
function below(end) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * end);
}

const leafOf = (index) => hex(keccak_256(bytes(word(index))));
const flipped = (hash) => {
  const changed = bytes(hash);
  changed[below(32)] ^= 1 << below(8);
  return hex(changed);
};

/** One change to a proof or to what is asked. */
function changed(round, asked, proof) {
  const [claims, hashes] = [structuredClone(asked), [...proof]];
  const names = Object.keys(claims);
  if (round % 4 === 0) return [claims, hashes];
  if (round % 4 === 1) {
    const name = names[below(names.length)];
    claims[name] = typeof claims[name] === "string" ? flipped(claims[name]) : below(120);
  } else if (round % 4 === 2) {
    const places = hashes.length;
    if (round % 8 === 2 || places === 0) hashes.splice(below(places + 1), 0, leafOf(round));
    else hashes.splice(below(places), 1);
  } else if (hashes.length > 0) {
    const at = below(hashes.length);
    if (round % 8 === 3) hashes[at] = flipped(hashes[at]);
    else hashes.push(hashes.shift());
  }
  return [claims, hashes];
}

/** Proofs with changes, of which the library says what each is worth. */
async function beside(library, arity) {
  const tree = new library.Tree("keccak256", arity);
  const holdsThere = (call) => {
    try {
      call();
      return true;
    } catch (error) {
      if (!["VerifyError", "InputError"].includes(error.name)) throw error;
      return false;
    }
  };
  const joined = (hashes) => bytes(hashes.join(""));
  const leaves = Array.from({ length: 120 }, (_, index) => leafOf(index));
  const roots = leaves.map((_, last) => levels(arity, leaves.slice(0, last + 1)).at(-1)[0]);
  const rootOf = (size) => (size === 0 ? word(0) : roots[size - 1]);
  for (let round = 0; round < 400; round += 1) {
    const size = 1 + below(120);
    const all = levels(arity, leaves.slice(0, size));
    const index = below(size);
    let [one, proof] = changed(round, { size, root: rootOf(size), index, leaf: leaves[index] }, prove(arity, all, index));
    let expected = holdsThere(() => tree.verifyInclusionHashes(BigInt(one.size), bytes(one.root), BigInt(one.index), bytes(one.leaf), joined(proof)));
    must(expected, await inclusion(arity, one, one.index, one.leaf, proof), `leaf ${index} of ${size}, arity ${arity}, round ${round}`);

    const old = below(size + 1);
    let two;
    [two, proof] = changed(round, { old: old, oldRoot: rootOf(old), size, root: rootOf(size) }, proveConsistency(arity, all, old));
    expected = holdsThere(() => tree.verifyConsistencyHashes(BigInt(two.old), bytes(two.oldRoot), BigInt(two.size), bytes(two.root), joined(proof)));
    must(expected, await consistency(arity, { size: two.old, root: two.oldRoot }, two, proof), `${old} to ${size}, arity ${arity}, round ${round}`);
    if (round % 4 === 0 && !expected) throw new Error("the library refuses a proof that was not changed");
  }
}

/** Sizes at the end of the numbers, arities that no tree has, and bytes that are no call. */
async function ends() {
  const most = 2n ** 64n - 1n;
  const root = leafOf(1);
  for (const arity of ARITIES) {
    for (const count of [0, 1, 63, 64, 65, 96, 149, 240, 241]) {
      const hashes = Array.from({ length: count }, (_, at) => leafOf(at));
      for (const index of [0n, most - 1n, most]) {
        must(false, await inclusion(arity, { size: most, root }, index, leafOf(2), hashes), `leaf ${index} of ${most}`);
      }
      must(false, await consistency(arity, { size: most - 1n, root }, { size: most, root: leafOf(3) }, hashes), "the largest sizes");
      must(false, await consistency(arity, { size: most, root }, { size: most - 1n, root: leafOf(3) }, hashes), "a smaller size");
    }
  }
  const signature = "verifyInclusion(uint8,bytes32,uint64,uint64,bytes32,bytes32[])";
  for (const exponent of [0, 5, 8, 255]) {
    must(false, await holds(signature, [word(exponent), root, word(1), word(0), root], []), `arity 2^${exponent}`);
  }
  const call = data(signature, [word(1), root, word(1), word(0), root], [root, root]);
  if ((await send(call.slice(0, -2))) !== null) throw new Error("a list that ends behind the call is taken");
  const wide = data(signature, [word(1), root, word(2n ** 64n), word(0), root], []);
  if ((await send(wide)) !== null) throw new Error("a size of 65 bits is taken");
}

/** What a transaction takes that does nothing else: what it costs to be one, and the run with its bytes, or a price for bytes alone
 * where that is more (EIP-7623). */
function transaction({ gas, sent }) {
  const tokens = bytes(sent).reduce((sum, byte) => sum + (byte === 0 ? 1 : 4), 0);
  return 21_000 + Math.max(gas + 4 * tokens, 10 * tokens);
}

/** The rows of the table in README.md. */
async function gas(arity) {
  const leaves = Array.from({ length: 65_536 }, (_, index) => leafOf(index));
  const rows = [];
  const row = (what, proof, answer) => {
    must(true, answer, what);
    rows.push(`| ${arity} | ${what} | ${proof.length} | ${answer.gas} | ${transaction(answer)} |`);
  };
  const all = levels(arity, leaves);
  const head = { size: 65_536, root: all.at(-1)[0] };
  for (const size of [1_000, 65_536]) {
    const some = size === 65_536 ? all : levels(arity, leaves.slice(0, size));
    const index = Math.floor(size / 3);
    const proof = prove(arity, some, index);
    row(`inclusion, ${size} leaves`, proof, await inclusion(arity, { size, root: some.at(-1)[0] }, index, leaves[index], proof));
  }
  const old = levels(arity, leaves.slice(0, 60_000)).at(-1)[0];
  const proof = proveConsistency(arity, all, 60_000);
  row("consistency, 60000 to 65536 leaves", proof, await consistency(arity, { size: 60_000, root: old }, head, proof));
  return rows;
}

const library = await import(pathToFileURL(resolve(process.argv[2], "tree.node.js")));
await library.default();
for (const arity of ARITIES) {
  await vectors(arity);
  await beside(library, arity);
}
await ends();
const rows = [];
for (const arity of ARITIES) rows.push(...(await gas(arity)));
console.log(rows.join("\n"));
const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const missing = rows.filter((row) => !readme.includes(row));
console.log(`${done.accepted} accepted, ${done.refused} refused; ${code.length} bytes of code, solc ${solc.version()}`);
if (done.accepted < 1500 || done.refused < 2500) throw new Error("there are fewer cases than there were");
if (missing.length > 0) throw new Error(`not in README.md:\n${missing.join("\n")}`);
