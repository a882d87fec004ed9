/** How fast each place for traffic records takes them, with no proxy around it. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loggingToml, type TrafficLog } from "./dispa.ts";
import { POSTGRES_MISSING } from "./postgres.ts";
import type { Figures, Scenario } from "./scenario.ts";

const SINKS: Record<string, TrafficLog> = {
  "sink-file": "file",
  "sink-sqlite": "sqlite",
  "sink-postgres": "postgres",
};

const WRITER = fileURLToPath(new URL("sink_writer.ts", import.meta.url));
const DENO_JSON = fileURLToPath(new URL("../deno.json", import.meta.url));

export const SINK_SCENARIO: Scenario = {
  name: "sinks",
  title: "Traffic records written in batches of 2,000",
  columns: [
    { key: "recordsPerSecond", title: "records/s", digits: 0 },
    { key: "cpuUs", title: "CPU µs/record", digits: 2 },
  ],
  participants: Object.keys(SINKS),
  onlyOneRound: false,
  accepts: (name) => name in SINKS,
  missing: (name) => SINKS[name] === "postgres" ? POSTGRES_MISSING : null,
  async run(name, { workshop, newPostgresDatabase }, seconds): Promise<Figures> {
    const folder = workshop.folder(name);
    const logging = await loggingToml(SINKS[name], folder, newPostgresDatabase);
    const config = join(folder, "config.toml");
    await Deno.writeTextFile(
      config,
      `[[targets.targets]]\nname = "upstream"\nurl = "http://127.0.0.1:1"\n${logging}`,
    );
    const output = await workshop.run(Deno.execPath(), [
      ...["run", "-A", "--no-prompt", "--v8-flags=--max-semi-space-size=2", "--config", DENO_JSON],
      ...[WRITER, config, String(seconds)],
    ]);
    await Deno.remove(folder, { recursive: true });
    const figures: Figures = JSON.parse(output.trimEnd().split("\n").at(-1) ?? "");
    return figures;
  },
};
