/** `deno task soak [--minutes N] [--seed S]`: ends with 1 on any wrong answer, lost or doubled record, or growth. */
import { parseArgs } from "node:util";
import { soak, type SoakReport } from "./soak.ts";

const DEFAULT_MINUTES = "10";
const RELOAD_EVERY_MS = 5_000;

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

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: DEFAULT_MINUTES },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error("usage: deno task soak [--minutes N] [--seed S]");
  Deno.exit(64);
}
console.log(`soaking for ${minutes} minutes, seed ${seed}`);
const report = await soak({
  seconds: minutes * 60,
  seed,
  reloadEveryMs: RELOAD_EVERY_MS,
  progress: (line) => console.log(line),
});
console.log(summary(report));
Deno.exit(report.faultCount === 0 ? 0 : 1);
