/** What it costs to find the rule that takes a request, among few rules and among many. */
import { fileURLToPath } from "node:url";
import type { Figures, Scenario } from "./scenario.ts";

const NAME = /^routes-(host|prefix|regex)-([1-9]\d{0,3})$/;
const MATCHER = fileURLToPath(new URL("route_matcher.ts", import.meta.url));
const DENO_JSON = fileURLToPath(new URL("../deno.json", import.meta.url));

export const ROUTE_SCENARIO: Scenario = {
  name: "routes",
  title: "The routing rule of a request found, where the rules differ by host, path prefix or path regex",
  columns: [{ key: "nanoseconds", title: "ns/match", digits: 0 }],
  participants: ["host", "prefix", "regex"].flatMap((kind) => [`routes-${kind}-3`, `routes-${kind}-3000`]),
  onlyOneRound: false,
  accepts: (name) => NAME.test(name),
  missing: () => null,
  async run(name, { workshop }, seconds): Promise<Figures> {
    const [, kind, rules] = NAME.exec(name) ?? [];
    const output = await workshop.run(Deno.execPath(), [
      ...["run", "-A", "--no-prompt", "--v8-flags=--max-semi-space-size=2", "--config", DENO_JSON],
      ...[MATCHER, kind, rules, String(seconds)],
    ]);
    const figures: Figures = JSON.parse(output.trimEnd().split("\n").at(-1) ?? "");
    return figures;
  },
};
