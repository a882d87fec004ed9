/**
 * What a chain of ten header plugins costs a request, beside what building the request's message costs anyway.
 *
 *     deno run -A bench/plugin_chain.ts
 */
import { checkConfig, formatProblem } from "../src/config/mod.ts";
import { getField } from "../src/http/flat_headers.ts";
import { bucketBounds, MetricCells, PluginMetrics } from "../src/metrics/mod.ts";
import { buildPlugins, type Chain } from "../src/plugins/mod.ts";
import { requestMessage } from "../tests/support/messages.ts";

const PLUGINS = 10;
const REQUESTS_A_ROUND = 50_000;
const ROUNDS = 9;

/** A browser's request as it goes to an upstream: 16 fields. */
const HEADERS = [
  ...["host", "example.com", "user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101"],
  ...["accept", "text/html", "accept-language", "en", "accept-encoding", "gzip, br", "cookie", "id=1; b=2"],
  ...[
    "referer",
    "https://example.com/",
    "dnt",
    "1",
    "sec-fetch-dest",
    "document",
    "sec-fetch-mode",
    "navigate",
  ],
  ...["sec-fetch-site", "same-origin", "priority", "u=0", "x-forwarded-for", "192.0.2.1"],
  ...["x-forwarded-proto", "http", "x-forwarded-host", "example.com", "x-request-id", "0123456789"],
];

async function headerChain(errorStrategy: "continue" | "fail"): Promise<Chain> {
  const tables = Array.from({ length: PLUGINS }, (_, i) => `
[[plugins.plugins]]
name = "plugin-${i}"
type = "${i % 2 === 0 ? "headerinjector" : "headeroverride"}"
error_strategy = "${errorStrategy}"
config = { request_headers = { "x-added-${i}" = "value" } }`);
  const target = '[[targets.targets]]\nname = "t"\nurl = "http://127.0.0.1:1"\n';
  const text = `[plugins]\nenabled = true\n${tables.join("\n")}\n${target}`;
  const checked = await checkConfig(text, { path: "bench.toml", environment: new Map() });
  if (!checked.ok) throw new Error(checked.problems.map(formatProblem).join("\n"));
  const cells = new MetricCells({
    buffer: new SharedArrayBuffer(MetricCells.BYTES),
    announce: () => {},
    buckets: bucketBounds(),
  });
  const set = await buildPlugins(checked.config.plugins, {
    shared: () => null,
    log: (_level, message) => {
      throw new Error(message);
    },
    metrics: new PluginMetrics(cells),
  });
  if (set.requestChain === null) throw new Error("there is no chain");
  return set.requestChain;
}

/** @returns µs a request */
function round(chain: Chain | null): number {
  const started = performance.now();
  for (let i = 0; i < REQUESTS_A_ROUND; i++) {
    const request = requestMessage({ headers: HEADERS });
    if (chain !== null && chain.runRequest(request) !== null) throw new Error("the chain did not go on");
  }
  return (performance.now() - started) / REQUESTS_A_ROUND * 1000;
}

function prove(chain: Chain): void {
  const request = requestMessage({ headers: HEADERS });
  if (chain.runRequest(request) !== null) throw new Error("the chain did not go on");
  for (let i = 0; i < PLUGINS; i++) {
    if (getField(request.headers, `x-added-${i}`) !== "value") throw new Error(`plugin ${i} did nothing`);
  }
}

const variants = {
  "no chain": null,
  'error_strategy = "continue"': await headerChain("continue"),
  'error_strategy = "fail"': await headerChain("fail"),
};
for (const chain of Object.values(variants)) if (chain !== null) prove(chain);

const figures = new Map<string, number[]>();
for (let i = 0; i < ROUNDS; i++) {
  for (const [name, chain] of Object.entries(variants)) {
    const figure = round(chain);
    // The first rounds are those in which the compiler is at work.
    if (i > 1) figures.set(name, [...(figures.get(name) ?? []), figure]);
  }
}
const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const base = median(figures.get("no chain")!);
for (const [name, values] of figures) {
  if (name !== "no chain") {
    console.log(`${PLUGINS} header plugins, ${name}: ${(median(values) - base).toFixed(2)} µs a request`);
  }
}
