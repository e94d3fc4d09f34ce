// Every case of the test vectors against both modules. Used by the tests in Node and in a browser.

const HASHERS = ["blake3", "rfc6962-sha256", "keccak256"];
const ARITIES = [2, 4, 8, 16];

const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const joined = (hashes) => bytes(hashes.join(""));
const same = (found, expected, what) => {
  if (found !== expected) throw new Error(`${what}: ${found} instead of ${expected}`);
};

/** Whether `call` refuses. Throws what is neither of both refusals: a defect, and not a refusal. */
function refuses(call) {
  try {
    call();
    return null;
  } catch (error) {
    if (!(error instanceof Error) || !["VerifyError", "InputError"].includes(error.name)) throw error;
    return error.name;
  }
}

function mustRefuse(call, why, name = undefined) {
  const refused = refuses(call);
  if (refused === null) throw new Error(`accepted: ${why}`);
  if (name !== undefined) same(refused, name, why);
}

/** `read` returns the parsed file of a name. Returns how many cases were accepted and refused as they should be. */
export async function run(tree, tlog, read) {
  const done = { accepted: 0, refused: 0 };
  for (const hasher of HASHERS) {
    for (const arity of ARITIES) trees(tree, await read(`${hasher}-${arity}.json`), done);
  }
  stores(tree, await read("stores.json"), done);
  signed(tlog, await read("tlog.json"), done);
  inputs(tree, tlog, done);
  return done;
}

function trees({ Tree }, file, done) {
  const tree = new Tree(file.hasher, file.arity);
  const head = ({ size, root }) => [BigInt(size), bytes(root)];
  const multi = (trusted, leaves, proof) => {
    const indexes = BigUint64Array.from(leaves, ({ index }) => BigInt(index));
    tree.verifyMulti(...head(trusted), indexes, joined(leaves.map(({ leaf }) => leaf)), proof);
  };
  same(hex(tree.emptyRoot()), file.roots[0].root, "the root of nothing");
  for (const { data, leaf } of file.leaves_of_data) same(hex(tree.leaf(bytes(data))), leaf, data);
  for (const one of file.inclusion) {
    const asked = [...head(one.head), BigInt(one.index), bytes(one.leaf)];
    tree.verifyInclusion(...asked, bytes(one.bytes));
    tree.verifyInclusionHashes(...asked, joined(one.hashes));
    mustRefuse(() => tree.verifyInclusionHashes(...asked, joined([...one.hashes, one.leaf])), "a hash more");
    done.accepted += 2;
  }
  for (const one of file.consistency) {
    tree.verifyConsistency(...head(one.old), ...head(one.new), bytes(one.bytes));
    tree.verifyConsistencyHashes(...head(one.old), ...head(one.new), joined(one.hashes));
    done.accepted += 2;
  }
  for (const one of file.multi) {
    multi(one.head, one.leaves, bytes(one.bytes));
    done.accepted += 1;
  }
  for (const { why, claim, bytes: proof } of file.refused) {
    const [kind, asked] = Object.entries(claim)[0];
    const calls = {
      inclusion: () =>
        tree.verifyInclusion(...head(asked.head), BigInt(asked.index), bytes(asked.leaf), bytes(proof)),
      consistency: () => tree.verifyConsistency(...head(asked.old), ...head(asked.new), bytes(proof)),
      multi: () => multi(asked.head, asked.leaves, bytes(proof)),
    };
    mustRefuse(calls[kind], why, "VerifyError");
    done.refused += 1;
  }
  tree.free();
}

function stores({ verifyTree }, file, done) {
  for (const store of file.stores) {
    for (const expected of store.trees) {
      const found = verifyTree(bytes(store.commitment), bytes(expected.bytes));
      for (const field of ["name", "hasher", "arity"]) same(found[field], expected[field], field);
      same(found.size, BigInt(expected.size), "size");
      same(hex(found.root), expected.root, "root");
      done.accepted += 1;
    }
  }
  for (const { why, commitment, bytes: proof } of file.refused) {
    mustRefuse(() => verifyTree(bytes(commitment), bytes(proof)), why, "VerifyError");
    done.refused += 1;
  }
}

function signed(tlog, file, done) {
  const is = (found, { head, index, cosigned = [] }) => {
    same(found.size, BigInt(head.size), "size");
    same(hex(found.root), head.root, "root");
    same(found.index, index === undefined ? null : BigInt(index), "index");
    if (cosigned.length > 0) {
      same(found.cosigned.join(), cosigned.map((time) => (time === null ? null : BigInt(time))).join(), "times");
    }
    done.accepted += 1;
  };
  for (const one of file.checkpoints) {
    const found = tlog.verifyCheckpoint(one.note, one.origin, one.keys);
    same(found.origin, one.origin, "origin");
    is(found, one);
  }
  for (const one of file.witnessed) is(tlog.verifyWitnessed(one.note, one.policy), one);
  for (const one of file.proofs) is(tlog.verifyProof(one.proof, one.origin, one.keys, bytes(one.leaf)), one);
  for (const { proof, policy, leaf, ...one } of file.witnessed_proofs) {
    is(tlog.verifyWitnessedProof(proof, policy, bytes(leaf)), one);
  }
  for (const { why, claim, text } of file.refused) {
    const [kind, asked] = Object.entries(claim)[0];
    const calls = {
      checkpoint: () => tlog.verifyCheckpoint(text, asked.origin, asked.keys),
      witnessed: () => tlog.verifyWitnessed(text, asked.policy),
      proof: () => tlog.verifyProof(text, asked.origin, asked.keys, bytes(asked.leaf)),
      witnessed_proof: () => tlog.verifyWitnessedProof(text, asked.policy, bytes(asked.leaf)),
    };
    mustRefuse(calls[kind], why);
    done.refused += 1;
  }
}

/** What a caller may get wrong is an error of its own, and never a trap. */
function inputs({ Tree, verifyTree }, { verifyCheckpoint, verifyWitnessed, leafHash }, done) {
  const tree = new Tree("blake3", 4);
  const [root, short] = [new Uint8Array(32), new Uint8Array(31)];
  const wrong = {
    "an unknown hash function": () => new Tree("md5", 2),
    "an arity that no tree has": () => new Tree("blake3", 3),
    "a short root": () => tree.verifyInclusion(1n, short, 0n, root, root),
    "a short leaf": () => tree.verifyInclusion(1n, root, 0n, short, root),
    "hashes that are not whole": () => tree.verifyInclusionHashes(1n, root, 0n, root, short),
    "fewer leaves than indexes": () => tree.verifyMulti(1n, root, BigUint64Array.of(0n), new Uint8Array(), root),
    "a short commitment": () => verifyTree(short, root),
    "a key that is none": () => verifyCheckpoint("", "a", ["b"]),
    "a policy that is none": () => verifyWitnessed("", "?"),
  };
  // The proof of a tree of one leaf has no hash, so these would hold if 64 bits of the numbers counted alone.
  const huge = 2n ** 64n;
  const multi = (indexes) => () => tree.verifyMulti(1n, root, indexes, root, root);
  for (const off of [huge, -huge, 5n * huge]) {
    wrong[`an index that is off by ${off}`] = () => tree.verifyInclusionHashes(1n, root, off, root, new Uint8Array());
    wrong[`a size that is off by ${off}`] = () => tree.verifyInclusionHashes(1n + off, root, 0n, root, new Uint8Array());
    wrong[`an encoded proof of an index that is off by ${off}`] = () => tree.verifyInclusion(1n, root, off, root, root);
    wrong[`one of several indexes that is off by ${off}`] = multi([off]);
    wrong[`an old size that is off by ${off}`] = () => tree.verifyConsistencyHashes(1n + off, root, 1n, root, new Uint8Array());
    wrong[`a new size that is off by ${off}`] = () => tree.verifyConsistencyHashes(1n, root, 1n + off, root, new Uint8Array());
    wrong[`an encoded proof of a size that is off by ${off}`] = () => tree.verifyConsistency(1n + off, root, 1n, root, root);
  }
  wrong["a number that is no bigint"] = () => tree.verifyInclusion(1, root, 0n, root, root);
  wrong["an index that is no bigint"] = multi([0]);
  tree.verifyInclusionHashes(1n, root, 0n, root, new Uint8Array());
  for (const [why, call] of Object.entries(wrong)) {
    mustRefuse(call, why, "InputError");
    done.refused += 1;
  }
  same(hex(leafHash(new Uint8Array())), hex(new Tree("rfc6962-sha256", 2).leaf(new Uint8Array())), "a leaf");
  // Sizes to the last one of 64 bits come through.
  mustRefuse(() => tree.verifyInclusion(2n ** 64n - 1n, root, 2n ** 64n - 2n, root, root), "a huge tree", "VerifyError");
}
