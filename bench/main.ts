/**
 * Dispa side by side with other proxies on one machine: `deno task bench`, see `--help`.
 *
 * Every measurement starts its proxy afresh and proves that it answers correctly. Within a round and a scenario all
 * take their turn one after the other, in an order that changes from round to round, so that what else the
 * machine does, and how warm it is, falls on all of them alike.
 */
import { type Flags, HELP, parseFlags, UsageError } from "./flags.ts";
import { describeMachine } from "./machine.ts";
import type { Surroundings } from "./peer.ts";
import { onPath } from "./peer.ts";
import { postgresDatabases } from "./postgres.ts";
import { markdownReport, replaceReport, type Run } from "./report.ts";
import { Results } from "./results.ts";
import type { Scenario } from "./scenario.ts";
import { SCENARIOS } from "./scenarios.ts";
import { startUpstream } from "./upstream.ts";
import { Workshop } from "./workshop.ts";

const LARGE_BYTES = 2 ** 30;
const LARGE_BYTES_QUICK = 2 ** 27;

class Interrupted extends Error {}

function chosenScenarios({ scenarios, only }: Flags): Scenario[] {
  for (const name of scenarios ?? []) {
    if (!SCENARIOS.some((scenario) => scenario.name === name)) {
      const known = SCENARIOS.map((scenario) => scenario.name).join(", ");
      throw new UsageError(`--scenario names "${name}", allowed are ${known}`);
    }
  }
  for (const name of only ?? []) {
    if (!SCENARIOS.some((scenario) => scenario.accepts(name))) {
      throw new UsageError(`--only names "${name}", see --help for the names`);
    }
  }
  return SCENARIOS.filter((scenario) => scenarios === null || scenarios.includes(scenario.name)).map((
    scenario,
  ) => ({
    ...scenario,
    participants: only === null ? scenario.participants : only.filter(scenario.accepts),
  }));
}

/** The same names beginning with another one in each round. */
function rotated(names: string[], round: number): string[] {
  const start = round % Math.max(1, names.length);
  return [...names.slice(start), ...names.slice(0, start)];
}

async function measureAll(
  scenarios: Scenario[],
  flags: Flags,
  surroundings: Surroundings,
  results: Results,
): Promise<void> {
  for (let round = 0; round < flags.rounds; round++) {
    for (const scenario of scenarios) {
      if (scenario.onlyOneRound && round > 0) continue;
      for (const name of rotated(scenario.participants, round)) {
        const missing = scenario.missing(name);
        if (missing !== null) {
          results.leftOut.set(name, missing);
          continue;
        }
        const place = `round ${round + 1}/${flags.rounds} ${scenario.name} ${name}`;
        try {
          const figures = await scenario.run(name, surroundings, flags.seconds);
          results.add(scenario.name, name, figures);
          const text = scenario.columns.filter(({ key }) => key in figures)
            .map(({ key, title, digits }) => `${figures[key].toFixed(digits)} ${title}`).join(", ");
          console.error(`${place}: ${text}`);
        } catch (fault) {
          const reason = fault instanceof Error ? fault.message : String(fault);
          results.failures.push(`${place}: ${reason}`);
          console.error(`${place}: FAILED: ${reason}`);
        }
      }
    }
  }
}

async function bench(flags: Flags, workshop: Workshop): Promise<Run> {
  const scenarios = chosenScenarios(flags);
  for (const program of ["nginx", "wrk"]) {
    if (!onPath(program)) throw new Error(`the bench needs ${program}, which is not on the PATH`);
  }
  const machine = await describeMachine(workshop);
  if (machine.loadAverage > machine.cores / 4) {
    console.error(
      `load average ${machine.loadAverage.toFixed(1)}: others use this machine, figures will be noisy`,
    );
  }
  const surroundings: Surroundings = {
    workshop,
    upstream: await startUpstream(workshop, flags.quick ? LARGE_BYTES_QUICK : LARGE_BYTES),
    newPostgresDatabase: postgresDatabases(workshop),
  };
  const results = new Results();
  await measureAll(scenarios, flags, surroundings, results);
  const command = ["deno task bench", ...Deno.args].join(" ");
  return { command, rounds: flags.rounds, seconds: flags.seconds, machine, scenarios, results };
}

async function publish(run: Run, { jsonPath, markdownPath }: Flags): Promise<void> {
  const report = markdownReport(run);
  console.log(report);
  const { command, rounds, seconds, machine, results } = run;
  if (jsonPath !== null) {
    const { measurements, failures } = results;
    const medians = results.summary();
    const json = { command, rounds, seconds, machine, medians, measurements, failures };
    await Deno.writeTextFile(jsonPath, JSON.stringify(json, null, 2) + "\n");
  }
  if (results.failures.length > 0) {
    throw new Error(`${results.failures.length} measurements failed:\n${results.failures.join("\n")}`);
  }
  if (markdownPath !== null) {
    await Deno.writeTextFile(markdownPath, replaceReport(await Deno.readTextFile(markdownPath), report));
    const formatted = await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", markdownPath] })
      .output();
    if (!formatted.success) {
      throw new Error(`deno fmt ${markdownPath}: ${new TextDecoder().decode(formatted.stderr)}`);
    }
  }
}

async function main(): Promise<number> {
  const interrupted = Promise.withResolvers<never>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => interrupted.reject(new Interrupted(`${signal}: cleaning up`)));
  }
  try {
    const flags = parseFlags(Deno.args);
    if (flags.help) {
      console.log(HELP);
      return 0;
    }
    await using workshop = new Workshop();
    const run = await Promise.race([bench(flags, workshop), interrupted.promise]);
    await publish(run, flags);
    return 0;
  } catch (fault) {
    console.error(fault instanceof Error ? fault.message : fault);
    if (fault instanceof UsageError) return 64;
    return fault instanceof Interrupted ? 130 : 1;
  }
}

Deno.exit(await main());
