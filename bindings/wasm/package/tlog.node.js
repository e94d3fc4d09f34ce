// Node reads the module from the disk, at once. The default export is there so that the same program runs in a browser.
import { readFileSync } from "node:fs";
import { initSync } from "./tlog.js";

const exports = initSync({ module: readFileSync(new URL("./tlog_bg.wasm", import.meta.url)) });

export * from "./tlog.js";
export default async () => exports;
