/**
 * Makes what a release consists of, in dist/release: an executable for each target, SHA256SUMS, the bill of
 * materials (CycloneDX) and the licences. `deno task release`; `--targets` builds some of them only, e.g.
 * `--targets x86_64-unknown-linux-gnu` where the runtimes of the others cannot be fetched.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { VERSION } from "../version.ts";
import { BuildFailure, compile, withBundle } from "./compile.ts";
import { billOfMaterials, licencesDocument, shippedPackages } from "./packages.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** All that `deno compile` knows. */
const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
];

/** Exit code of sysexits.h for wrong usage. */
const USAGE = 64;

function targetsOf(text: string | undefined): string[] {
  const targets = text?.split(",") ?? TARGETS;
  const unknown = targets.filter((target) => !TARGETS.includes(target));
  if (unknown.length === 0) return targets;
  console.error(`--targets names "${unknown.join(",")}", allowed are ${TARGETS.join(", ")}`);
  Deno.exit(USAGE);
}

/** The runtime of this machine that is brought along instead of being fetched. */
const OWN_RUNTIME = Deno.env.get("DENORT_BIN");

/** The Deno that the executables hold; a runtime that is brought along says itself what it is. */
async function runtimeVersion(): Promise<string> {
  if (OWN_RUNTIME === undefined) return Deno.version.deno;
  const text = new TextDecoder("latin1").decode(await Deno.readFile(OWN_RUNTIME));
  const found = /Deno\/(\d+\.\d+\.\d+)/.exec(text);
  if (found === null) throw new BuildFailure(`${OWN_RUNTIME} does not tell which Deno it is`);
  return found[1];
}

/** `deno compile` would put a runtime that is brought along into the executable of every target. */
function checkRuntimeFits(targets: string[]): void {
  const others = targets.filter((target) => target !== Deno.build.target);
  if (OWN_RUNTIME === undefined || others.length === 0) return;
  throw new BuildFailure(
    `cannot build for ${others.join(", ")} with DENORT_BIN, which is a runtime for ${Deno.build.target}: ` +
      `unset it, or build with --targets ${Deno.build.target} alone`,
  );
}

async function sha256(path: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(digest).toHex();
}

async function release(targets: string[], folder: string): Promise<void> {
  checkRuntimeFits(targets);
  await Deno.mkdir(folder, { recursive: true });
  const packages = await shippedPackages(ROOT);
  const bill = billOfMaterials(VERSION, await runtimeVersion(), packages);
  const files = [`dispa-${VERSION}.cdx.json`, "THIRD_PARTY_LICENSES.md"];
  await Deno.writeTextFile(join(folder, files[0]), `${JSON.stringify(bill, null, 2)}\n`);
  await Deno.writeTextFile(join(folder, files[1]), licencesDocument(packages));
  await withBundle(async (bundle) => {
    for (const target of targets) {
      const name = `dispa-${VERSION}-${target}${target.includes("windows") ? ".exe" : ""}`;
      console.log(target);
      try {
        await compile(bundle, target, join(folder, name));
      } catch (fault) {
        if (!(fault instanceof BuildFailure)) throw fault;
        throw new BuildFailure(
          `cannot build for ${target}: ${fault.message}. Name the targets whose runtimes can be fetched from here: ` +
            "--targets x86_64-unknown-linux-gnu",
        );
      }
      files.push(name);
    }
  });
  const sums = await Promise.all(
    files.sort().map(async (name) => `${await sha256(join(folder, name))}  ${name}\n`),
  );
  await Deno.writeTextFile(join(folder, "SHA256SUMS"), sums.join(""));
  for (const name of [...files, "SHA256SUMS"]) {
    const { size } = await Deno.stat(join(folder, name));
    console.log(`${join(folder, name)}: ${(size / 1e6).toFixed(3)} MB`);
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      targets: { type: "string" },
      output: { type: "string", default: join(ROOT, "dist/release") },
    },
  });
  try {
    await release(targetsOf(values.targets), values.output);
  } catch (fault) {
    if (!(fault instanceof BuildFailure)) throw fault;
    console.error(fault.message);
    Deno.exit(1);
  }
}
