/** `deno task soak`: the soak from the command line. */
import { parseArgs } from "node:util";
import { soak, type SoakReport } from "./soak.ts";

const RELOAD_EVERY_MS = 5_000;

const HELP = `Usage: deno task soak [--minutes N] [--seed S]

Runs the real program on 127.0.0.1 under mixed traffic, with a reload every five seconds and targets that die
and come back, and holds every answer and every record to what was asked. Says every ten seconds how it goes.

      --minutes N  how long (default: 10); parts of a minute too
      --seed S     a whole number; the same one draws the same configurations and faults (default: any)

Example:
  deno task soak --minutes 0.5 --seed 42

Exit codes: 0 all is well, 1 a wrong answer, a lost or doubled record, or growth, 64 wrong usage.
`;

function summary({ asked, records, outcomes, held, ...report }: SoakReport): string {
  const [first, last] = held.map(({ residentMiB, sockets, otherDescriptors }) =>
    `${residentMiB.toFixed(1)} MiB, ${sockets} sockets, ${otherDescriptors} other descriptors`
  );
  const lines = [...outcomes].sort().map(([name, count]) => `  ${String(count).padStart(7)} ${name}`);
  return `${asked} requests, ${records} records
${report.reloads} reloads, ${report.refusedReloads} of them refused as they had to be; ${report.deaths} deaths of targets
${report.unaccepted} connections reset before they were accepted
after the first third: ${first}
at the end:            ${last}
${lines.join("\n")}
${report.faultCount} faults${report.faults.map((text) => `\n  ${text}`).join("")}`;
}

function wrongUsage(message: string): never {
  console.error(`soak: ${message}\nTry "deno task soak --help".`);
  Deno.exit(64);
}

function flags() {
  try {
    return parseArgs({
      options: {
        help: { type: "boolean", short: "h" },
        minutes: { type: "string", default: "10" },
        seed: { type: "string", default: String(Date.now() % 1_000_000) },
      },
    }).values;
  } catch (fault) {
    return wrongUsage(fault instanceof Error ? fault.message : String(fault));
  }
}

const values = flags();
if (values.help) {
  console.log(HELP);
  Deno.exit(0);
}
const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
if (!(minutes > 0 && minutes < Infinity)) {
  wrongUsage(`--minutes is "${values.minutes}", wanted is a number above 0`);
}
if (!Number.isInteger(seed)) wrongUsage(`--seed is "${values.seed}", wanted is a whole number`);
console.log(`soaking for ${minutes} minutes, seed ${seed}`);
const report = await soak({
  seconds: minutes * 60,
  seed,
  reloadEveryMs: RELOAD_EVERY_MS,
  progress: (line) => console.log(line),
});
console.log(summary(report));
Deno.exit(report.faultCount === 0 ? 0 : 1);
