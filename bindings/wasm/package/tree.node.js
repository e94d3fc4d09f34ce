// Node reads the module from the disk, at once. The default export is there so that the same program runs in a browser.
import { readFileSync } from "node:fs";
import { initSync } from "./tree.js";

const exports = initSync({ module: readFileSync(new URL("./tree_bg.wasm", import.meta.url)) });

export * from "./tree.js";
export default async () => exports;
