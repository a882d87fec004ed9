/** What is measured: each scenario with those who take part in it by default and the figures it yields. */
import { POST_BYTES, proveCorrect } from "./correctness.ts";
import { growthForSlowReaderMb, kbPerIdleConnection } from "./memory.ts";
import { runOpenLoop } from "./open_loop.ts";
import type { RunningPeer, Surroundings } from "./peer.ts";
import { peerNamed } from "./peers.ts";
import { cpuUs, highestResidentMb, residentMb, settle } from "./proc_stats.ts";
import { ROUTE_SCENARIO } from "./routes.ts";
import type { Column, Figures, Scenario } from "./scenario.ts";
import { SINK_SCENARIO } from "./sinks.ts";
import { type Load, runWrk } from "./wrk.ts";

interface PeerScenario extends Omit<Scenario, "accepts" | "missing" | "run"> {
  /** Whether the peer is to be measured as it starts, with the proof that it is correct afterwards. */
  proofComesLast: boolean;
  measure(peer: RunningPeer, surroundings: Surroundings, seconds: number): Promise<Figures>;
}

const MAIN_PEERS = ["dispa", "dispa-fetch", "nginx", "haproxy", "caddy"];
const LOAD_PEERS = [...MAIN_PEERS, "bare-http1", "bare-fetch"];
const VARIANTS = ["dispa-2w", "dispa-nolog", "dispa-sqlite", "dispa-postgres"];

const WARM_UP_S = 1;

const LOAD_COLUMNS: Column[] = [
  { key: "cpuUs", title: "CPU µs/request", digits: 1 },
  { key: "requestsPerSecond", title: "requests/s", digits: 0 },
  { key: "p50Ms", title: "p50 ms", digits: 2 },
  { key: "p99Ms", title: "p99 ms", digits: 2 },
  { key: "rssMb", title: "RSS MB", digits: 0 },
];

/** A scenario that starts a peer afresh, proves it correct, measures and stops it. */
function ofPeers({ measure, proofComesLast, ...scenario }: PeerScenario): Scenario {
  return {
    ...scenario,
    accepts: (name) => peerNamed(name) !== null,
    missing: (name) => peerNamed(name)?.missing ?? null,
    async run(name, surroundings, seconds) {
      const peer = peerNamed(name);
      if (peer === null) throw new Error(`there is no peer "${name}"`);
      const running = await peer.start(surroundings);
      try {
        if (!proofComesLast) await proveCorrect(running);
        const figures = await measure(running, surroundings, seconds);
        if (proofComesLast) await proveCorrect(running);
        return figures;
      } catch (fault) {
        const lastWords = running.lastWords();
        if (lastWords === null) throw fault;
        throw new Error(`ended while it was measured: ${lastWords}`, { cause: fault });
      } finally {
        await running.stop();
      }
    },
  };
}

function underLoad(
  name: string,
  title: string,
  change: Partial<Load>,
  more: Partial<PeerScenario> = {},
): Scenario {
  const load: Load = { path: "/64", connections: 64, postBytes: null, newConnections: false, ...change };
  return ofPeers({
    name,
    title,
    columns: LOAD_COLUMNS,
    participants: LOAD_PEERS,
    onlyOneRound: false,
    proofComesLast: false,
    async measure(peer, { workshop }, seconds) {
      await runWrk(workshop, peer.port, load, WARM_UP_S);
      await settle(peer.pid);
      const droppedBefore = await peer.droppedRecords?.() ?? 0;
      const before = cpuUs(peer.pid);
      const { result, highestMb } = await highestResidentMb(
        peer.pid,
        () => runWrk(workshop, peer.port, load, seconds),
      );
      await settle(peer.pid);
      const { requests, ...report } = result;
      return {
        ...report,
        cpuUs: (cpuUs(peer.pid) - before) / requests,
        rssMb: highestMb,
        ...(peer.droppedRecords === null
          ? {}
          : { droppedShare: 100 * (await peer.droppedRecords() - droppedBefore) / requests }),
      };
    },
    ...more,
  });
}

const REQUESTS_PER_SECOND = 1_000;

export const SCENARIOS: Scenario[] = [
  underLoad("small", "GET of 64 bytes, 64 connections", {}, {
    participants: [...LOAD_PEERS, ...VARIANTS],
    columns: [...LOAD_COLUMNS, { key: "droppedShare", title: "records dropped %", digits: 1 }],
  }),
  underLoad("64k", "GET of 64 kB, 64 connections", { path: "/64k" }),
  underLoad("1m", "GET of 1 MiB, 64 connections", { path: "/1m" }),
  underLoad("post", "POST of 10 kB, 64 connections", { path: "/post", postBytes: POST_BYTES }),
  underLoad("1000", "GET of 64 bytes, 1,000 connections", { connections: 1000 }),
  underLoad("close", "GET of 64 bytes, a new connection for each request", { newConnections: true }),
  ofPeers({
    name: "latency",
    title: "GET of 64 bytes, 1,000 requests a second: latency beyond that of the upstream asked directly",
    columns: [
      { key: "p50Ms", title: "p50 ms", digits: 2 },
      { key: "p99Ms", title: "p99 ms", digits: 2 },
      { key: "directP99Ms", title: "p99 ms, no proxy", digits: 2 },
      { key: "addedP50Ms", title: "added p50 ms", digits: 2 },
      { key: "addedP99Ms", title: "added p99 ms", digits: 2 },
    ],
    participants: MAIN_PEERS,
    onlyOneRound: false,
    proofComesLast: false,
    async measure(peer, { upstream }, seconds) {
      await runOpenLoop(peer.port, "/64", REQUESTS_PER_SECOND, WARM_UP_S);
      const direct = await runOpenLoop(upstream.port, "/64", REQUESTS_PER_SECOND, seconds);
      const proxied = await runOpenLoop(peer.port, "/64", REQUESTS_PER_SECOND, seconds);
      return {
        ...proxied,
        directP99Ms: direct.p99Ms,
        addedP50Ms: proxied.p50Ms - direct.p50Ms,
        addedP99Ms: proxied.p99Ms - direct.p99Ms,
      };
    },
  }),
  ofPeers({
    name: "idle",
    title: "Start to the first answer, memory afterwards, memory for each idle client connection",
    columns: [
      { key: "startMs", title: "start ms", digits: 0 },
      { key: "rssMb", title: "idle RSS MB", digits: 1 },
      { key: "kbPerConnection", title: "kB/connection", digits: 1 },
    ],
    participants: [...MAIN_PEERS, "dispa-2w"],
    onlyOneRound: false,
    proofComesLast: true,
    async measure(peer) {
      await settle(peer.pid);
      const rssMb = residentMb(peer.pid);
      return {
        startMs: peer.startMs,
        rssMb,
        kbPerConnection: await kbPerIdleConnection(peer.pid, peer.port),
      };
    },
  }),
  ofPeers({
    name: "slow",
    title: "Growth while one large body passes to a reader that waits 2 s, then takes 64 MiB a second",
    columns: [{ key: "growthMb", title: "growth MB", digits: 1 }],
    participants: MAIN_PEERS,
    onlyOneRound: true,
    proofComesLast: false,
    async measure(peer) {
      return { growthMb: await growthForSlowReaderMb(peer.pid, peer.port) };
    },
  }),
  SINK_SCENARIO,
  ROUTE_SCENARIO,
];
