/**
 * What authentication costs a request, beside what building the request's message costs anyway.
 *
 *     deno run -A bench/auth.ts
 */
import * as jose from "jose";
import { checkConfig, formatProblem } from "../src/config/mod.ts";
import type { FlatHeaders } from "../src/http/flat_headers.ts";
import { type AuthStep, authStep } from "../src/security/auth.ts";
import { RemoteKeySets } from "../src/security/remote_keys.ts";
import { requestMessage } from "../tests/support/messages.ts";

const ROUNDS = 9;
const HEADERS = [
  ...["user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101", "accept", "text/html"],
  ...["accept-language", "en", "accept-encoding", "gzip, br", "cookie", "id=1; b=2", "priority", "u=0"],
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
  ...["x-forwarded-for", "192.0.2.1", "x-forwarded-proto", "http", "x-request-id", "0123456789"],
];

interface Variant {
  step: AuthStep | null;
  headers: FlatHeaders;
  requestsARound: number;
}

async function build(security: string): Promise<AuthStep> {
  const target = '[[targets.targets]]\nname = "t"\nurl = "http://127.0.0.1:1"\n';
  const checked = await checkConfig(`${security}\n${target}`, { path: "bench.toml", environment: new Map() });
  if (!checked.ok) throw new Error(checked.problems.map(formatProblem).join("\n"));
  const remoteKeys = new RemoteKeySets({
    log: (_level, message) => {
      throw new Error(message);
    },
  });
  const step = await authStep(checked.config.security, { remoteKeys });
  if (step === null) throw new Error("there is no step");
  return step;
}

const CLAIMS = {
  iss: "https://login.example.com/",
  aud: ["https://api.example.com/"],
  sub: "auth0|0123456789abcdef",
  exp: Math.floor(Date.now() / 1000) + 3600,
  scope: "openid profile email read:orders write:orders",
  roles: ["admin", "editor"],
  email: "someone@example.com",
};
const PASSED_ON = 'claims_to_headers = { sub = "x-user-id", roles = "x-roles" }';

async function asymmetric(algorithm: "RS256" | "ES256", cache: boolean): Promise<Variant> {
  const { publicKey, privateKey } = await jose.generateKeyPair(algorithm, { extractable: true });
  const pem = await jose.exportSPKI(publicKey);
  const token = await new jose.SignJWT(CLAIMS).setProtectedHeader({ alg: algorithm, kid: "k" }).sign(
    privateKey,
  );
  const keys = `${algorithm.toLowerCase()}_keys = { k = """\n${pem}""" }`;
  const step = await build(
    `[security.jwt]\nalgorithm = "${algorithm}"\n${keys}\ncache_enabled = ${cache}\n${PASSED_ON}`,
  );
  return {
    step,
    headers: ["authorization", `Bearer ${token}`, ...HEADERS],
    requestsARound: cache ? 30_000 : 500,
  };
}

async function symmetric(cache: boolean): Promise<Variant> {
  const secret = crypto.randomUUID();
  const token = await new jose.SignJWT(CLAIMS).setProtectedHeader({ alg: "HS256" })
    .sign(new TextEncoder().encode(secret));
  const step = await build(`[security.jwt]\nsecret = "${secret}"\ncache_enabled = ${cache}\n${PASSED_ON}`);
  return {
    step,
    headers: ["authorization", `Bearer ${token}`, ...HEADERS],
    requestsARound: cache ? 30_000 : 2000,
  };
}

async function apiKeys(count: number): Promise<Variant> {
  const keys = Array.from({ length: count }, () => crypto.randomUUID());
  const step = await build(`security.auth.keys = ${JSON.stringify(keys)}`);
  return { step, headers: ["x-api-key", keys[count - 1], ...HEADERS], requestsARound: 30_000 };
}

/** @returns µs a request */
async function round({ step, headers, requestsARound }: Variant): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < requestsARound; i++) {
    const request = requestMessage({ headers, target: "/orders/17?page=2" });
    if (step === null) continue;
    const answer = step.check(request);
    if ((answer instanceof Promise ? await answer : answer) !== null) {
      throw new Error("the request did not pass");
    }
  }
  return (performance.now() - started) / requestsARound * 1000;
}

const keyed = await apiKeys(1);
const variants: Record<string, Variant> = {
  "no step": { step: null, headers: keyed.headers, requestsARound: 30_000 },
  "one API key": keyed,
  "10,000 API keys": await apiKeys(10_000),
  "RS256, cached": await asymmetric("RS256", true),
  "HS256, cached": await symmetric(true),
  "HS256, verified each time": await symmetric(false),
  "RS256, verified each time": await asymmetric("RS256", false),
  "ES256, verified each time": await asymmetric("ES256", false),
};
for (const { step, headers } of Object.values(variants)) {
  if (step === null) continue;
  const strangers = headers.map((value, i) => i === 1 ? `${value.slice(0, -8)}xxxxxxxx` : value);
  if (await step.check(requestMessage({ headers: strangers })) === null) {
    throw new Error("a stranger was let in");
  }
}

const figures = new Map<string, number[]>();
for (let i = 0; i < ROUNDS; i++) {
  for (const [name, variant] of Object.entries(variants)) {
    const figure = await round(variant);
    // The first rounds are those in which the compiler is at work.
    if (i > 1) figures.set(name, [...(figures.get(name) ?? []), figure]);
  }
}
const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const base = median(figures.get("no step")!);
for (const [name, values] of figures) {
  if (name !== "no step") console.log(`${name}: ${(median(values) - base).toFixed(2)} µs a request`);
}
