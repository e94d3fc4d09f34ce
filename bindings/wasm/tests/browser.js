// node browser.js PACKAGE: the vectors against the package, in Chromium without a window.

import { spawn, spawnSync } from "node:child_process";
import { createReadStream, existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const PATIENCE = 120_000;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const places = {
  "/package/": resolve(process.argv[2]),
  "/tests/": here("."),
  "/vectors/": here("../../../tests/vectors"),
};
const types = { ".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };
const page = `<!doctype html><script type="module">
  let answer;
  try {
    const { run } = await import("/tests/vectors.js");
    const tree = await import("/package/tree.js");
    const tlog = await import("/package/tlog.js");
    await Promise.all([tree.default(), tlog.default()]);
    answer = await run(tree, tlog, async (name) => (await fetch("/vectors/" + name)).json());
  } catch (error) {
    answer = { failed: String(error?.stack ?? error) };
  }
  await fetch("/answer", { method: "POST", body: JSON.stringify(answer) });
</script>`;

const program = ["chromium", "chromium-browser", "google-chrome"].find(
  (name) => spawnSync(name, ["--version"]).status === 0,
);
if (program === undefined) throw new Error("there is no chromium");

let answered;
const answer = new Promise((resolve) => (answered = resolve));
const server = createServer((request, response) => {
  if (request.method === "POST") {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => (response.end(), answered(JSON.parse(body))));
    return;
  }
  if (request.url === "/") return response.setHeader("content-type", "text/html").end(page);
  const [prefix, directory] = Object.entries(places).find(([prefix]) => request.url.startsWith(prefix)) ?? [];
  const file = directory && join(directory, request.url.slice(prefix.length));
  if (!file || !existsSync(file)) return response.writeHead(404).end();
  response.setHeader("content-type", types[extname(file)] ?? "application/octet-stream");
  createReadStream(file).pipe(response);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const profile = mkdtempSync(join(tmpdir(), "duramen-chromium-"));
const browser = spawn(
  program,
  ["--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", `--user-data-dir=${profile}`,
    `http://127.0.0.1:${server.address().port}/`],
  { stdio: "ignore" },
);
const late = setTimeout(() => answered({ failed: `no answer in ${PATIENCE / 1000} s` }), PATIENCE);
const { accepted, refused, failed } = await answer;
clearTimeout(late);
server.closeAllConnections();
server.close();
await new Promise((ended) => (browser.once("exit", ended), browser.kill()));
rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
if (failed) throw new Error(failed);
console.log(`${program}: ${accepted} accepted, ${refused} refused`);
if (accepted < 1000 || refused < 700) throw new Error("there are fewer cases than there were");
