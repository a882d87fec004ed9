/**
 * Matches requests against routing rules and prints what one match costs, as JSON. A process of its own, so that
 * each measurement begins with cold code.
 *
 *     deno run -A bench/route_matcher.ts host|prefix|regex RULES SECONDS
 */
import { checkConfig, formatProblem } from "../src/config/mod.ts";
import type { RequestMessage } from "../src/http/message.ts";
import { RouteTable } from "../src/routing/mod.ts";

/** A rule's condition, and a request that it takes. */
interface Kind {
  condition(index: number): string;
  host(index: number): string;
  path(index: number): string;
}

const KINDS: Record<string, Kind> = {
  host: {
    condition: (index) => `host.exact = "shop-${index}.example.com"`,
    host: (index) => `shop-${index}.example.com`,
    path: () => "/items/1234",
  },
  prefix: {
    condition: (index) => `path.prefix = "/shop-${index}/"`,
    host: () => "example.com",
    path: (index) => `/shop-${index}/items/1234`,
  },
  regex: {
    condition: (index) => `path.regex = "^/shop-${index}/items/[0-9]+$"`,
    host: () => "example.com",
    path: (index) => `/shop-${index}/items/1234`,
  },
};

/** Requests that the rules take in turn, so that no cache helps. */
const REQUESTS = 1_000;
const ROUNDS_BETWEEN_LOOKS = 20;

async function tableOf(kind: Kind, rules: number): Promise<RouteTable> {
  const list = Array.from(
    { length: rules },
    (_, index) => `[[routing.rules]]\nname = "rule-${index}"\nconditions.${kind.condition(index)}\n`,
  );
  const target = '[[targets.targets]]\nname = "upstream"\nurl = "http://127.0.0.1:1"\n';
  const result = await checkConfig(list.join("") + target, { path: "bench", environment: new Map() });
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return new RouteTable(result.config.routing, result.config.targets.targets);
}

function requestFor(kind: Kind, index: number): RequestMessage {
  const host = kind.host(index);
  const path = kind.path(index);
  return {
    method: "GET",
    scheme: "http",
    clientIp: "192.0.2.1",
    host,
    requestId: "bench",
    target: path,
    path,
    query: null,
    headers: ["host", host, "user-agent", "bench", "accept", "*/*"],
  };
}

const [kindName, rulesText, secondsText] = Deno.args;
const kind = KINDS[kindName];
if (kind === undefined) {
  throw new Error(`kind is "${kindName}", allowed are ${Object.keys(KINDS).join(", ")}`);
}
const rules = Number(rulesText);
const table = await tableOf(kind, rules);
const indexes = Array.from({ length: REQUESTS }, (_, n) => Math.floor((n * rules) / REQUESTS));
const requests = indexes.map((index) => requestFor(kind, index));
requests.forEach((request, n) => {
  const route = table.match(request);
  if (route?.name !== `rule-${indexes[n]}`) {
    throw new Error(`${request.host}${request.path} was taken by ${route?.name ?? "no rule"}`);
  }
});

function run(milliseconds: number): { matches: number; elapsedMs: number } {
  const startedAt = performance.now();
  let matches = 0;
  let elapsedMs = 0;
  while (elapsedMs < milliseconds) {
    for (let round = 0; round < ROUNDS_BETWEEN_LOOKS; round++) {
      for (const request of requests) if (table.match(request) !== null) matches++;
    }
    elapsedMs = performance.now() - startedAt;
  }
  return { matches, elapsedMs };
}

const WARM_UP_MS = 500;
run(WARM_UP_MS);
const { matches, elapsedMs } = run(Number(secondsText) * 1000);
console.log(JSON.stringify({ nanoseconds: elapsedMs / matches * 1e6 }));
