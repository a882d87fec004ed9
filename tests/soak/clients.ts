/**
 * The clients of a soak: each asks without end and judges every answer. A request may only fail where a target
 * died meanwhile, and then the client has to be told: by a well-formed answer with `x-dispa-error`, or, once the
 * answer had begun, by a body that is cut and does not look whole.
 */
import { delay, eventCount, type FlappingTarget } from "./flapping_target.ts";
import { eventText, largeBody, receipt, smallBody } from "./contents.ts";
import type { Ledger } from "./ledger.ts";
import type { Seeded } from "../support/seeded.ts";
import { latin1 } from "../support/upstream.ts";
import { clientFrame, CLOSE, closePayload, PONG, RawSocket, TEXT } from "../support/websocket_frames.ts";
import { type Answer, isBroken, NoAnswer, Wire } from "../support/wire.ts";

export interface World {
  port: number;
  ledger: Ledger;
  random: Seeded;
  targets: readonly FlappingTarget[];
  /** Targets that a reload has taken out of the configuration, with when. */
  removals: { name: string; atMs: number }[];
}

const HOST = "soak.test";
/** After that an answer is missing. */
const PATIENCE_MS = 60_000;
/** A target that dies, and what a client sees of that, may be so far apart: the machine has other work. */
const SLACK_MS = 1_000;
/** Of failures that targets cause by dying; the last of them in the time before it is seen that they are dead. */
const TOLD = new Set(["502 reset", "502 connect_refused", "502 bad_response", "503 no_target"]);

export interface Asked {
  kind: string;
  method?: string;
  /** With a length if it is one piece, else in chunks. */
  body?: Uint8Array<ArrayBuffer>[];
  fields?: string;
  host?: string;
}

class Client {
  #wire: Wire | null = null;
  stopped = false;
  readonly ended: Promise<void>;

  constructor(readonly world: World, readonly name: string, turn: (client: Client) => Promise<void>) {
    this.ended = this.#run(turn);
  }

  async #run(turn: (client: Client) => Promise<void>): Promise<void> {
    while (!this.stopped) {
      try {
        await turn(this);
      } catch (fault) {
        this.drop();
        // Nobody has accepted it: the socket that it came to has stopped listening in that moment.
        if (fault instanceof Deno.errors.ConnectionReset) this.world.ledger.unaccepted++;
        else this.world.ledger.fault(`${this.name}: ${fault instanceof Error ? fault.message : fault}`);
        await delay(100);
      }
    }
    this.drop();
  }

  get random(): Seeded {
    return this.world.random;
  }

  async think(lowMs: number, highMs: number): Promise<void> {
    if (!this.stopped) await delay(this.random.whole(lowMs, highMs));
  }

  /** The kept connection, or a new one. */
  async wire(): Promise<Wire> {
    const wire = this.#wire ??= await Wire.connect(this.world.port);
    wire.extend(PATIENCE_MS);
    return wire;
  }

  drop(): void {
    this.#wire?.[Symbol.dispose]();
    this.#wire = null;
  }

  head(number: number, { kind, method = "GET", body, fields = "", host = HOST }: Asked): string {
    const framing = body === undefined
      ? ""
      : body.length === 1
      ? `content-length: ${body[0].length}\r\n`
      : "transfer-encoding: chunked\r\n";
    return `${method} /${kind}/${number} HTTP/1.1\r\nHost: ${host}\r\nX-Request-Id: ${number}\r\n${framing}${fields}\r\n`;
  }

  /** Sends a request and judges its answer. @param wanted the body that a target answers with */
  async ask(asked: Asked, wanted: (number: number) => Uint8Array | string): Promise<void> {
    const { ledger } = this.world;
    const number = ledger.begin(asked.kind);
    const startedMs = performance.now();
    const wire = await this.wire();
    await wire.send(this.head(number, asked));
    await this.#sendBody(wire, asked.body);
    await this.settle(number, asked.kind, startedMs, wire, wanted(number));
  }

  async #sendBody(wire: Wire, body: Asked["body"]): Promise<void> {
    if (body === undefined) return;
    if (body.length === 1) return await wire.send(body[0]);
    for (const piece of body) {
      await wire.send(`${piece.length.toString(16)}\r\n`);
      await wire.send(piece);
      await wire.send("\r\n");
    }
    await wire.send("0\r\n\r\n");
  }

  /** Reads the answer and judges it. */
  async settle(
    number: number,
    kind: string,
    startedMs: number,
    wire: Wire,
    wanted: Uint8Array | string,
    onBody?: () => Promise<void>,
  ): Promise<void> {
    const { ledger } = this.world;
    let answer: Answer;
    try {
      answer = await wire.answer({ onBody });
    } catch (fault) {
      if (!(fault instanceof NoAnswer)) throw new Error(`/${kind}/${number}: ${(fault as Error).message}`);
      throw new Error(`/${kind}/${number} got no answer: ${fault.message}`);
    }
    const { status, fields, body, isWhole, closes } = answer;
    if (closes || !isWhole) this.drop();
    const told = `${status} ${fields.get("x-dispa-error")}`;
    const seen = { recorded: "one", status } as const;
    if (status === 200 && isWhole) {
      if (typeof wanted === "string" ? latin1(body) !== wanted : !isSame(body, wanted)) {
        throw new Error(`/${kind}/${number}: a wrong body of ${body.length} bytes`);
      }
      ledger.end(number, "served", { ...seen, size: body.length });
    } else if (!this.hasDied(startedMs)) {
      throw new Error(
        `/${kind}/${number}: ${isWhole ? told : `a cut body after ${status}`} although no target has died`,
      );
    } else if (!isWhole) {
      if (status !== 200) throw new Error(`/${kind}/${number}: a cut answer of our own, ${told}`);
      ledger.end(number, "cut", seen);
    } else if (TOLD.has(told)) {
      ledger.end(number, told, { ...seen, size: body.length });
    } else {
      throw new Error(`/${kind}/${number}: ${told} is no answer to a target's death`);
    }
  }

  /** Whether a target has been dead since then. */
  hasDied(sinceMs: number): boolean {
    return this.world.targets.some(({ deaths }) => deaths.some(({ toMs }) => toMs >= sinceMs - SLACK_MS));
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function fresh(turn: (client: Client) => Promise<void>): (client: Client) => Promise<void> {
  return async (client) => {
    try {
      await turn(client);
    } finally {
      client.drop();
    }
  };
}

const small = (client: Client) => client.ask({ kind: "small" }, smallBody);

function post(pieces: number) {
  return (client: Client) => {
    const body = Array.from({ length: pieces }, () => client.random.bytes(client.random.whole(1, 5_000)));
    const all = body.flatMap((piece) => [...piece]);
    return client.ask({ kind: "echo", method: "POST", body }, () => receipt(Uint8Array.from(all)));
  };
}

async function events(client: Client): Promise<void> {
  await client.ask({ kind: "events" }, (number) => {
    const all = Array.from({ length: eventCount(number) }, (_, event) => eventText(number, event));
    return all.join("");
  });
}

/** Sends its header in drips, and takes its time with a large answer. */
async function slow(client: Client): Promise<void> {
  const { ledger } = client.world;
  const kind = client.random.pick(["slow", "large"]);
  const number = ledger.begin(kind);
  const wire = await client.wire();
  const head = client.head(number, { kind });
  for (let at = 0; at < head.length; at += 20) {
    await wire.send(head.slice(at, at + 20));
    await client.think(20, 60);
  }
  const wanted = kind === "slow" ? smallBody(number) : largeBody(number);
  await client.settle(number, kind, performance.now(), wire, wanted, () => delay(40));
}

/** Leaves before the answer, in it, or within its own header or body. */
async function leave(client: Client): Promise<void> {
  const { ledger } = client.world;
  const number = ledger.begin("leave");
  const wire = await client.wire();
  const how = client.random.pick(["header", "body", "answer", "begun"]);
  const head = client.head(number, {
    kind: "leave",
    ...(how === "body" && { method: "POST", body: [new Uint8Array(1000)] }),
  });
  await wire.send(how === "header" ? head.slice(0, -10) : head);
  if (how === "answer") await client.think(0, 5);
  // A target that has just died answers nothing.
  const begun = how === "begun" && await wire.head().then(() => true, () => false);
  ledger.end(number, how, begun ? { recorded: "one" } : {});
}

async function wrongHost(client: Client): Promise<void> {
  const { ledger } = client.world;
  const number = ledger.begin("wrong-host");
  const wire = await client.wire();
  await wire.send(client.head(number, { kind: "wrong-host", host: "elsewhere.test" }));
  const { status, fields, isWhole, closes, body } = await wire.answer();
  if (closes) client.drop();
  const code = fields.get("x-dispa-error");
  if (status !== 404 || code !== "domain_not_found" || !isWhole) {
    throw new Error(`/wrong-host/${number}: ${status} ${code}`);
  }
  ledger.end(number, "refused", { recorded: "one", status, size: body.length });
}

/** What a target does, and what the client has to see of it. */
const FAULTS: Record<string, { status: number; code: string | null; isWhole: boolean }> = {
  "reset": { status: 502, code: "reset", isWhole: true },
  "reset-in-header": { status: 502, code: "reset", isWhole: true },
  "garbage": { status: 502, code: "bad_response", isWhole: true },
  "silence": { status: 504, code: "upstream_timeout", isWhole: true },
  "cut-length": { status: 200, code: null, isWhole: false },
  "cut-chunks": { status: 200, code: null, isWhole: false },
};
/** Where header and body come in one piece, the proxy may see the cut before it passes anything on. */
const CUT_SEEN_EARLY = { status: 502, code: "reset", isWhole: true };

async function fault(client: Client): Promise<void> {
  const { ledger } = client.world;
  const kind = client.random.pick(Object.keys(FAULTS));
  const number = ledger.begin(kind);
  const startedMs = performance.now();
  const wire = await client.wire();
  await wire.send(client.head(number, { kind }));
  const answer = await wire.answer();
  const { status, fields, isWhole } = answer;
  const seen = { status, code: fields.get("x-dispa-error") ?? null, isWhole };
  const wanted = kind.startsWith("cut-") && status === 502 ? CUT_SEEN_EARLY : FAULTS[kind];
  if (JSON.stringify(seen) !== JSON.stringify(wanted)) {
    const text = `/${kind}/${number}: ${JSON.stringify(seen)}`;
    if (!client.hasDied(startedMs) || !TOLD.has(`${status} ${seen.code}`)) throw new Error(text);
  }
  ledger.end(number, `${status} ${seen.code ?? "cut"}`, { recorded: "one", status });
}

/** Opens a WebSocket, has its messages echoed for a while, and closes it. */
async function webSocket(client: Client): Promise<void> {
  const { ledger } = client.world;
  const kind = "websocket";
  const number = ledger.begin(kind);
  const startedMs = performance.now();
  const wire = await client.wire();
  const key = btoa(latin1(client.random.bytes(16)));
  const fields =
    `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`;
  await wire.send(client.head(number, { kind, fields }));
  const { status, fields: answer } = await wire.head();
  if (status !== 101) {
    const told = `${status} ${answer.get("x-dispa-error")}`;
    if (!client.hasDied(startedMs) || !TOLD.has(told)) throw new Error(`/${kind}/${number}: ${told}`);
    return ledger.end(number, told, { recorded: "one", status });
  }
  const socket = new RawSocket(wire.socket, wire.unread);
  const outcome = await talk(client, socket, `/${kind}/${number}`, startedMs);
  ledger.end(number, outcome, { recorded: "one", status });
}

async function talk(client: Client, socket: RawSocket, path: string, startedMs: number): Promise<string> {
  let target: string | null = null;
  try {
    target = await said(socket);
    const name = target?.slice("text ".length) ?? "";
    for (let messages = client.random.whole(1, 80); messages > 0 && !client.stopped; messages--) {
      const text = `${path} ${messages}`;
      await socket.send(clientFrame(TEXT, text));
      const echoed = await said(socket);
      if (echoed !== `text ${text}`) return ended(client, echoed, name, path, startedMs);
      await client.think(20, 200);
    }
    await socket.send(clientFrame(CLOSE, closePayload(4000, "enough")));
    const answer = await said(socket);
    return answer === "close 4000 enough" ? "closed" : ended(client, answer, name, path, startedMs);
  } catch (fault) {
    if (!isBroken(fault)) throw fault;
    return ended(client, `nothing: ${fault}`, target ?? "", path, startedMs);
  }
}

/** The next of what the other side says; pings are answered. */
async function said(socket: RawSocket): Promise<string | null> {
  for (;;) {
    const next = await socket.said();
    if (next === null || !next.startsWith("ping")) return next;
    await socket.send(clientFrame(PONG, next.slice("ping ".length)));
  }
}

/** A WebSocket has ended before its time: may it? */
function ended(client: Client, last: string | null, name: string, path: string, startedMs: number): string {
  const { removals } = client.world;
  const isRemoved = removals.some((removal) => removal.name === name && removal.atMs >= startedMs - SLACK_MS);
  if (isRemoved && last === "close 1001 the proxy does not serve this any more") {
    return "its target was removed";
  } else if (isRemoved && last === null) {
    // A message of the client's that crosses the Close frame ends the connection, which is the runtime's way.
    return "its target was removed, cut";
  } else if (last?.startsWith("close 1014") && client.hasDied(startedMs)) {
    return "its target died";
  }
  throw new Error(`${path} to ${name}: ${last}`);
}

/** Clients of every kind. Together they ask a few hundred times a second. */
export function startClients(world: World): Client[] {
  const kinds: [
    name: string,
    count: number,
    thinkMs: [number, number],
    turn: (c: Client) => Promise<void>,
  ][] = [
    ["keep-alive", 8, [5, 150], small],
    ["fresh", 4, [20, 120], fresh(small)],
    ["large", 2, [50, 300], (client) => client.ask({ kind: "large" }, largeBody)],
    ["post", 2, [20, 200], post(1)],
    ["chunks", 2, [20, 200], post(4)],
    ["events", 3, [0, 100], events],
    ["websocket", 4, [0, 200], fresh(webSocket)],
    ["slow", 2, [0, 100], slow],
    ["leave", 2, [20, 200], fresh(leave)],
    ["wrong-host", 1, [50, 200], wrongHost],
    ["fault", 2, [50, 300], fresh(fault)],
  ];
  return kinds.flatMap(([name, count, [lowMs, highMs], turn]) =>
    Array.from({ length: count }, (_, index) =>
      new Client(world, `${name} ${index}`, async (client) => {
        await turn(client);
        await client.think(lowMs, highMs);
      }))
  );
}

export type { Client };
