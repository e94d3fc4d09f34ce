// node node.js PACKAGE: the vectors against the package, in Node, imported as a program imports it.

import { readFileSync, rmSync, mkdtempSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { run } from "./vectors.js";

const vectors = new URL("../../../tests/vectors/", import.meta.url);
const program = mkdtempSync(join(tmpdir(), "duramen-npm-"));
try {
  // A program that has the package among its modules.
  mkdirSync(join(program, "node_modules"));
  symlinkSync(resolve(process.argv[2]), join(program, "node_modules", "duramen-verifier"));
  const source = `
    import load, * as tree from "duramen-verifier/tree";
    import * as tlog from "duramen-verifier/tlog";
    await load();
    export { tree, tlog };
  `;
  writeFileSync(join(program, "program.mjs"), source);
  const { tree, tlog } = await import(pathToFileURL(join(program, "program.mjs")));
  const read = (name) => JSON.parse(readFileSync(new URL(name, vectors)));
  const { accepted, refused } = await run(tree, tlog, read);
  console.log(`node ${process.version}: ${accepted} accepted, ${refused} refused`);
  if (accepted < 1000 || refused < 700) throw new Error("there are fewer cases than there were");
} finally {
  rmSync(program, { recursive: true });
}
