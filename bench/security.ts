/**
 * What the steps that decide who may come in, and how often, cost a request, in nanoseconds:
 * `deno run -A bench/security.ts`. The best of several rounds that take turns: what is above it is other
 * programs' doing. Before a case is measured, its answers are checked.
 */
import assert from "node:assert/strict";
import os from "node:os";
import type { AccessControlConfig, SecurityConfig } from "../src/config/mod.ts";
import { accessStep } from "../src/security/access.ts";
import { TrustedPeers } from "../src/security/client_address.ts";
import { rateLimitBytes, rateLimitStep } from "../src/security/rate_limit.ts";

const ROUNDS = 9;
const CALLS = 100_000;

interface Case {
  name: string;
  /** What a request brings; used in turn. */
  inputs: string[];
  run(input: string): unknown;
  /** What `run` gives for every input. */
  gives: unknown;
}

function security(access: Partial<AccessControlConfig>, ratePerSec: number | null = null): SecurityConfig {
  return {
    enabled: true,
    accessControl: {
      enabled: true,
      allowedIps: [],
      deniedIps: [],
      trustProxyHeaders: false,
      trustedProxies: null,
      ...access,
    },
    rateLimit: ratePerSec === null
      ? null
      : { ratePerSec, burst: ratePerSec, store: null, storeTimeoutMs: 50 },
    exemptPaths: [],
    auth: null,
    jwt: null,
    ddos: {
      maxHeaders: 100,
      maxHeaderBytes: 32_768,
      maxBodyBytes: 0,
      requireContentLength: false,
      maxConnections: 0,
      maxConnectionsPerIp: 0,
      minBodyBytesPerSecond: 0,
    },
  };
}

/** IPv4 and IPv6 in turn, none beside another, all over the place. */
function cidrs(count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) =>
      i % 2 === 0
        ? `${11 + (i % 16)}.${(i >> 5) & 255}.${(i >> 13) * 2}.0/24`
        : `2001:db8:${(2 * i).toString(16)}:1::/64`,
  );
}

/** Between the ranges, so that each look-up goes all the way. */
const ipv4Clients = Array.from({ length: 1024 }, (_, i) => `${11 + 2 * (i & 7)}.${i >> 3}.101.${i & 255}`);
const ipv6Clients = Array.from({ length: 1024 }, (_, i) => `2001:db8:${(16 * i).toString(16)}:2::${i + 1}`);

function accessCase(count: number, family: string, inputs: string[]): Case {
  const step = accessStep(security({ deniedIps: cidrs(count) }));
  assert.ok(step !== null);
  assert.equal(step.check({ clientIp: "11.0.0.1" })?.denial, "denied_ip");
  return {
    name: `access, ${count.toLocaleString("en")} CIDRs, ${family} client`,
    inputs,
    run: (clientIp) => step.check({ clientIp }),
    gives: null,
  };
}

function limitCase(family: string, inputs: string[], ratePerSec: number, passes: boolean): Case {
  const config = security({}, ratePerSec);
  const step = rateLimitStep(config, new SharedArrayBuffer(rateLimitBytes(config)), console.error);
  assert.ok(step !== null);
  if (!passes) { for (const clientIp of inputs) step.check({ clientIp }); }
  return {
    name: `rate limit, ${family} client that ${passes ? "passes" : "is refused"}`,
    inputs,
    run: (clientIp) => step.check({ clientIp }) === null,
    gives: passes,
  };
}

const peers = new TrustedPeers(security({ trustProxyHeaders: true }));
const cases: Case[] = [
  accessCase(10, "IPv4", ipv4Clients),
  accessCase(10_000, "IPv4", ipv4Clients),
  accessCase(10, "IPv6", ipv6Clients),
  accessCase(10_000, "IPv6", ipv6Clients),
  {
    name: "client address, IPv4 behind two proxies",
    inputs: ["192.0.2.1, 10.0.0.2"],
    run: (forwardedFor) => peers.clientAddress("10.0.0.1", forwardedFor),
    gives: "192.0.2.1",
  },
  limitCase("IPv4", ipv4Clients, 1_000_000, true),
  limitCase("IPv6", ipv6Clients, 1_000_000, true),
  limitCase("IPv4", ipv4Clients, 0.001, false),
];

function nanosecondsPerCall({ inputs, run }: Case): number {
  const startedMs = performance.now();
  for (let i = 0; i < CALLS; i++) run(inputs[i % inputs.length]);
  return (performance.now() - startedMs) * 1e6 / CALLS;
}

if (import.meta.main) {
  for (const { inputs, run, gives, name } of cases) {
    for (const input of inputs) assert.deepEqual(run(input), gives, `${name}: ${input}`);
  }
  const best = cases.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    cases.forEach((one, index) => best[index] = Math.min(best[index], nanosecondsPerCall(one)));
  }
  console.log(`ns per request, best of ${ROUNDS} rounds; Deno ${Deno.version.deno}, ${os.cpus()[0].model}`);
  cases.forEach(({ name }, index) => console.log(`${best[index].toFixed(0).padStart(6)}  ${name}`));
}
