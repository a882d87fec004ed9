/**
 * `deno task console`: bundles the console and writes it as one module, `console_assets.ts`, so that the
 * program carries its page. The module is committed: nobody needs this to run, test or compile Dispa, only
 * to change the console; a test and `deno task check` say when it has been forgotten.
 */
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as api from "./api.ts";
import uPlotCss from "uplot/dist/uPlot.min.css" with { type: "text" };

const FOLDER = fileURLToPath(new URL("./console/", import.meta.url));
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const OUTPUT = fileURLToPath(new URL("./console_assets.ts", import.meta.url));

/** The packages that end up in the bundle. */
const PACKAGES = ["preact", "@preact/signals", "uplot"];

/**
 * SHA-256 over all that the assets are made of, in hexadecimal. Not over the bundle, whose bytes may differ from
 * one version of Deno to the next; of the API only its constants count, because its types leave no trace.
 */
async function sourceHash(): Promise<string> {
  const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => join(FOLDER, name));
  const parts = names.sort().map((path) => `${relative(ROOT, path)}\n${Deno.readTextFileSync(path)}`);
  const { imports }: { imports: Record<string, string> } = JSON.parse(
    Deno.readTextFileSync(join(ROOT, "deno.json")),
  );
  parts.push(JSON.stringify(api), ...PACKAGES.map((name) => `${name} ${imports[name]}`));
  const bytes = new TextEncoder().encode(parts.join("\0"));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Whether the committed module is of the sources as they are. */
export async function isStale(): Promise<boolean> {
  const { CONSOLE_SOURCE_HASH } = await import("./console_assets.ts");
  return CONSOLE_SOURCE_HASH !== await sourceHash();
}

async function bundle(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "browser", "--minify", join(FOLDER, "main.tsx")],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(`cannot bundle the console: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

async function build(): Promise<void> {
  const read = (name: string) => Deno.readTextFileSync(join(FOLDER, name));
  const css = (uPlotCss + "\n" + read("app.css")).replace(/\/\*[^]*?\*\//g, "").replace(/\s*\n\s*/g, "\n");
  const assets = {
    "index.html": { type: "text/html; charset=utf-8", body: read("index.html") },
    "app.js": { type: "text/javascript; charset=utf-8", body: await bundle() },
    "app.css": { type: "text/css; charset=utf-8", body: css.trimStart() },
    "icon.svg": { type: "image/svg+xml", body: read("icon.svg") },
  };
  Deno.writeTextFileSync(
    OUTPUT,
    `/**
 * The console's files. \`index.html\` is the page at /admin, the others are at /admin/assets/NAME.
 * Made by \`deno task console\` from src/admin/console/: change it there.
 */

export const CONSOLE_SOURCE_HASH = "${await sourceHash()}";

export const CONSOLE_ASSETS: Record<string, { type: string; body: string | Uint8Array<ArrayBuffer> }> = ${
      JSON.stringify(assets, null, 2)
    };
`,
  );
}

if (import.meta.main) {
  if (Deno.args.includes("--check")) {
    if (await isStale()) {
      console.error("src/admin/console_assets.ts is older than its sources; run: deno task console");
      Deno.exit(1);
    }
  } else {
    await build();
  }
}
