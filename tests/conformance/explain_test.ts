/** What `explain` says of a request is what the proxy then does with it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { stringify } from "smol-toml";
import { SlotAllocator } from "../../src/balancing/slots.ts";
import { newActiveCounts, TargetTable } from "../../src/balancing/target_table.ts";
import { checkConfig, type Config, formatProblem, type TargetConfig } from "../../src/config/mod.ts";
import { type Explanation, questionOf, shownValue } from "../../src/http/explanation.ts";
import {
  bucketBounds,
  MetricCells,
  PluginMetrics,
  RequestMetrics,
  WebSocketMetrics,
} from "../../src/metrics/mod.ts";
import { ProxyHandler } from "../../src/proxy/handler.ts";
import { RemoteKeySets } from "../../src/security/remote_keys.ts";
import { Snapshot } from "../../src/proxy/snapshot.ts";
import { SharedBlocks } from "../../src/runtime/shared_blocks.ts";
import { sharedNeeds } from "../../src/runtime/shared_needs.ts";
import { targetGroups } from "../../src/runtime/target_groups.ts";
import { RecordBuffer } from "../../src/traffic/buffer.ts";
import { QueueGauge } from "../../src/traffic/gauge.ts";
import type { Dial } from "../../src/upstream/http1_dial.ts";
import type { Transport, UpstreamRequest } from "../../src/upstream/transport.ts";
import { UpstreamError } from "../../src/upstream/transport.ts";
import { TransportSet } from "../../src/upstream/transports.ts";
import { exchange } from "../support/upstream.ts";
import { type AskedRequest, type Case, CASES, type Tree } from "./explain_cases.ts";

const RUNS = 700;
/** Bounds the run on slow machines: what was compared until then counts. */
const MAX_MS = 15_000;

/** What was sent to a target, or would have been. */
interface Sent {
  target: TargetConfig;
  /** Null where a connection was asked for, for a WebSocket. */
  request: UpstreamRequest | null;
}

/** Sends nothing anywhere; every target answers. */
class RecordingTransports extends TransportSet {
  readonly sent: Sent[] = [];
  readonly #transport: Transport = {
    readsBodyEarly: false,
    send: async (request) => {
      this.sent.push({ target: request.target, request });
      await request.body?.cancel();
      return { status: 200, headers: [], body: null };
    },
    close() {},
  };

  override for(): Transport {
    return this.#transport;
  }

  override get dial(): Dial {
    return (target) => {
      this.sent.push({ target, request: null });
      return Promise.reject(new UpstreamError("bad_response", "no target speaks WebSocket here", true));
    };
  }
}

class LastDomain extends RequestMetrics {
  last = "";

  override requestFinished(domain: string, ...rest: [string, number, number]): void {
    this.last = domain;
    super.requestFinished(domain, ...rest);
  }
}

class LastRecord extends RecordBuffer {
  last = "";

  override add(line: string): void {
    this.last = line;
  }
}

/** A proxy without listeners. */
class Proxy implements AsyncDisposable {
  readonly metrics: LastDomain;
  readonly records: LastRecord;
  readonly handler: ProxyHandler;

  private constructor(
    readonly config: Config,
    readonly snapshot: Snapshot,
    readonly transports: RecordingTransports,
    readonly logged: string[],
    cells: MetricCells,
  ) {
    this.metrics = new LastDomain(cells);
    const gauge = new QueueGauge(new SharedArrayBuffer(QueueGauge.BYTES));
    this.records = new LastRecord({ postMessage() {} }, gauge, { maxQueueBytes: 1, overflow: "drop" });
    this.handler = new ProxyHandler({
      snapshot,
      worker: 0,
      metrics: this.metrics,
      webSocketMetrics: new WebSocketMetrics(cells),
      records: this.records,
      explainToken: null,
      log: (level, message, fields) => logged.push(`${level} ${message} ${JSON.stringify(fields)}`),
    });
  }

  static async start({ config: tree, states }: Case): Promise<Proxy> {
    const config = await checked(tree);
    const table = new TargetTable();
    const counts = newActiveCounts();
    const slots = new SlotAllocator(table);
    const targets = slots.assign(config.targets.targets);
    targets.forEach(({ slot }, index) => {
      const { state, draining, active } = states[index];
      table.setState(slot, state);
      table.setDraining(slot, draining);
      for (let i = 0; i < active; i++) table.increment(slot, counts);
    });
    const cells = new MetricCells({
      buffer: new SharedArrayBuffer(MetricCells.BYTES),
      announce: () => {},
      buckets: bucketBounds(config.monitoring.histogramBucketsMs),
    });
    const transports = new RecordingTransports(config.httpClient);
    const logged: string[] = [];
    const log = (level: string, message: string) => logged.push(`${level} ${message}`);
    const rotations = slots.rotations(targetGroups(config));
    const shared = new SharedBlocks(sharedNeeds(config)).buffers;
    const snapshot = await Snapshot.build(
      { generation: 1, config, targets, rotations, shared },
      {
        table,
        counts,
        pluginMetrics: new PluginMetrics(cells),
        remoteKeys: new RemoteKeySets({ log: () => {} }),
        circuitChanged: () => {},
        log,
      },
      transports,
    );
    return new Proxy(config, snapshot, transports, logged, cells);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handler.idle();
    await this.snapshot.retire();
  }
}

async function checked(tree: Tree): Promise<Config> {
  const result = await checkConfig(stringify(tree), { path: "x.toml", environment: new Map() });
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.config;
}

/** The listener's part: real requests, as the runtime reads them from a socket. */
class Door implements AsyncDisposable {
  answer: (request: Request) => Promise<Response> = () => Promise.resolve(new Response());
  readonly #server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => this.answer(request),
  );

  get port(): number {
    return this.#server.addr.port;
  }

  send({ method, authority, target, headers, body }: AskedRequest): Promise<string> {
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const bytes = String.fromCharCode(...new TextEncoder().encode(target));
    return exchange(this.port, `${method} ${bytes} HTTP/1.1\r\nhost: ${authority}\r\n${lines}\r\n${body}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** Ids are made anew for each request. */
const ID = /\(new id\)|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

function comparable(headers: Iterable<readonly [string, string]>): string[] {
  return [...headers].map(([name, value]) => `${name}: ${shownValue(name, value).replace(ID, "ID")}`);
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
}

/** Refusals for want of a target. */
const TARGET_CODES = ["no_target", "overloaded"];

function isByChance({ steps }: Explanation, wanted: string): boolean {
  return steps.some(({ step, details }) => step === wanted && details?.by_chance === true);
}

async function compare(proxy: Proxy, door: Door, request: AskedRequest): Promise<Explanation["outcome"]> {
  const { method, scheme, authority: host, target: path, peerIp: clientIp } = request;
  const headers = request.headers.map(([name, value]) => `${name}: ${value}`);
  const { transports, handler, logged } = proxy;
  const explained = await handler.explain(questionOf({ host, path, method, scheme, headers, clientIp }));
  assert.deepEqual([transports.sent, logged], [[], []], "explain has left a mark");

  const { port } = door;
  door.answer = (live) => {
    const connection = {
      peerIp: clientIp,
      scheme,
      port,
      agreedHttp2: false,
      requestEnded() {},
      noMoreRequests() {},
      endsWithAnswer: () => false,
      upgraded() {},
    };
    return handler.handle(live, clientIp, connection);
  };
  const answer = await door.send(request);
  const [first] = transports.sent.splice(0);
  logged.length = 0;

  const record = JSON.parse(proxy.records.last);
  const told = { domain: explained.domain ?? "", route: explained.route ?? explained.domain };
  assert.deepEqual(told, { domain: proxy.metrics.last, route: record.route });
  const dependsOnTarget = explained.outcome === "forward" || TARGET_CODES.includes(explained.code ?? "");
  if (dependsOnTarget && isByChance(explained, "route")) {
    // The other part of the split may have no target that takes requests.
    const other = /^x-dispa-error: (.*)\r$/m.exec(answer)?.[1];
    assert.ok(first !== undefined || TARGET_CODES.includes(other ?? ""), answer);
    if (explained.outcome !== "forward" || first === undefined) return explained.outcome;
  }
  if (explained.outcome !== "forward") {
    const code = /^x-dispa-error: (.*)\r$/m.exec(answer)?.[1] ?? null;
    assert.deepEqual(
      { status: explained.status, code: explained.code, sent: undefined },
      { status: Number(answer.split(" ")[1]), code, sent: first?.target.name },
    );
    return explained.outcome;
  }
  assert.ok(first !== undefined, `not sent: ${answer}`);
  const drawn = isByChance(explained, "route") || isByChance(explained, "target");
  if (!drawn) assert.equal(explained.target, first.target.name);
  if (first.request === null) return "forward";
  const { upstream } = explained;
  assert.ok(upstream !== null);
  const { hostname, port: upstreamPort, basePath } = first.target;
  const origin = `http://${hostname}:${upstreamPort}`;
  // Drawn targets differ in what stands before the request's own path.
  const base = proxy.config.targets.targets.find(({ name }) => name === explained.target)?.basePath ?? "";
  const sentUrl = drawn ? first.request.path.slice(basePath.length) : origin + first.request.path;
  const toldUrl = drawn ? upstream.url.replace(/^http:\/\/[^/]*/, "").slice(base.length) : upstream.url;
  assert.equal(toldUrl, sentUrl);
  assert.equal(upstream.method, first.request.method);
  assert.deepEqual(comparable(upstream.headers), comparable(pairs(first.request.headers)));
  return "forward";
}

Deno.test("explain foretells what the proxy does, over random configurations and requests", async () => {
  await using door = new Door();
  const seen = { forward: 0, refuse: 0, answer: 0 };
  await fc.assert(
    fc.asyncProperty(CASES, async (random) => {
      await using proxy = await Proxy.start(random);
      for (const request of random.requests) seen[await compare(proxy, door, request)]++;
    }),
    { numRuns: RUNS, interruptAfterTimeLimit: MAX_MS, markInterruptAsFailure: false },
  );
  // No outcome may be so rare that the test says nothing of it.
  for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 20, `${outcome}: ${count}`);
});
