/**
 * Mutated requests on raw sockets to the real program, for `DISPA_FUZZ_SECONDS` (12 by default) from the seed
 * `DISPA_SEED`. Whatever comes: no crash, no hang, no 5xx, and what reaches the upstream is what a second,
 * independent reading of the same bytes takes them for, in the same order, answered to whom it belongs.
 */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { quiet } from "../support/footprint.ts";
import { freePort } from "../support/ports.ts";
import { SEED, Seeded } from "../support/seeded.ts";
import { CA_CERT, SERVER_CERT, SERVER_KEY } from "../support/tls_fixture.ts";
import { closeQuietly, fromLatin1, latin1, type RawRequest, writeAll } from "../support/upstream.ts";
import {
  ANSWERED_200,
  arrivedMeaning,
  countingUpstream,
  fault,
  meaningOf,
  normalized,
} from "./fuzz/upstream.ts";
import { answersIn } from "./fuzz/answers.ts";
import { type Meaning, read } from "./fuzz/reading.ts";
import { mutated, pieces, pipeline } from "./fuzz/requests.ts";

const FUZZ_MS = Number(Deno.env.get("DISPA_FUZZ_SECONDS") ?? "12") * 1000;
const CLIENTS = 48;
/** A client that has had nothing for so long leaves, but for one in eight, which waits for the proxy to close. */
const IMPATIENT_MS = 300;
/** The longest of the proxy's time-outs is the ten seconds that a body has before its pace is judged. */
const BOUND_MS = 25_000;

/** Cases, beyond which nothing can arrive any more. */
const REMEMBERED = 5000;

class Fuzz {
  cases = 0;
  answered = 0;
  refused = 0;
  /** What may reach the upstream, and by which case. */
  readonly #allowed = new Map<string, { bytes: string; times: number }>();
  /** The first of each case, by what was sent. */
  readonly #faults = new Map<string, string>();
  /** Of cases that have ended. */
  readonly #past: string[][] = [];
  /** What was sent, by its mark. */
  readonly #sent = new Map<string, string>();

  /** @param normalizesTarget whether the transport resolves dot segments and the like */
  constructor(readonly normalizesTarget: boolean) {}

  arrived(request: RawRequest): void {
    const problem = fault(request);
    const meaning = arrivedMeaning(request, this.normalizesTarget);
    const allowed = this.#allowed.get(meaning);
    if (problem === null && allowed !== undefined && allowed.times-- > 0) return;
    const mark = /c\d+/.exec(request.target)?.[0] ?? "";
    this.#fail(problem ?? "a request that the client did not send", this.#sent.get(mark) ?? "", request.head);
  }

  #fail(what: string, bytes: string, more: string): void {
    const shown = (text: string) => JSON.stringify(text.replace(/(.)\1{20,}/g, "$1…$1")).slice(0, 6000);
    if (this.#faults.has(bytes)) return;
    this.#faults.set(bytes, `${what}\n client sent: ${shown(bytes)}\n then: ${shown(more)}`);
  }

  /** One connection. */
  async run(index: number, port: number, isTls: boolean): Promise<void> {
    const random = new Seeded(SEED * 1_000_003 + index);
    const original = pipeline(random, `c${index}`);
    const bytes = mutated(original, random);
    const { requests } = read(bytes);
    const meanings = requests.filter(({ isForNobody }) => !isForNobody)
      .map((request) => meaningOf(request, this.normalizesTarget));
    this.#sent.set(`c${index}`, bytes);
    if (this.#sent.size > REMEMBERED) this.#sent.delete(this.#sent.keys().next().value!);
    for (const meaning of meanings) {
      const allowed = this.#allowed.get(meaning);
      if (allowed === undefined) this.#allowed.set(meaning, { bytes, times: 1 });
      else allowed.times++;
    }
    const waits = random.whole(0, 7) === 0;
    const { received, hung } = await talk(
      port,
      isTls,
      pieces(bytes, random),
      waits ? BOUND_MS : IMPATIENT_MS,
    );
    this.cases++;
    if (waits && hung) this.#fail(`a connection is open after ${BOUND_MS} ms`, bytes, received);
    this.#judge(bytes, requests, received, original === bytes);
    // A request whose client has left may arrive a little later.
    this.#past.push(meanings);
    if (this.#past.length > REMEMBERED) { for (const old of this.#past.shift()!) this.#allowed.delete(old); }
  }

  #judge(bytes: string, requests: Meaning[], received: string, isSound: boolean): void {
    const answers = answersIn(received, requests.map(({ method }) => method));
    for (const [index, { status, body }] of answers.entries()) {
      if (status >= 500) this.#fail(`a ${status}`, bytes, received);
      if (status !== 200) {
        this.refused++;
        continue;
      }
      this.answered++;
      if (body !== ANSWERED_200 && body !== this.#written(requests[index]?.target)) {
        this.#fail(`answer ${index} is not for request ${index}`, bytes, received);
      }
    }
    // One that is refused, and one that the runtime sends for what follows it and is no request.
    if (answers.length > requests.length + 2) this.#fail("more answers than requests", bytes, received);
    if (isSound && answers.some(({ status }) => status !== 200)) {
      this.#fail("a sound request refused", bytes, received);
    }
  }

  /** As the upstream gets it. */
  #written(target: string | undefined): string | null {
    if (target === undefined) return null;
    return this.normalizesTarget ? normalized(target) : target;
  }

  check(): void {
    const { size } = this.#faults;
    const first = [...this.#faults.values()].slice(0, 5).join("\n\n");
    assert.equal(size, 0, `DISPA_SEED=${SEED}: faults with ${size} cases\n${first}`);
  }
}

/** Sends the pieces and reads until the connection ends, or nothing has come for `patienceMs`. */
async function talk(
  port: number,
  isTls: boolean,
  parts: string[],
  patienceMs: number,
): Promise<{ received: string; hung: boolean }> {
  let socket: Deno.Conn = await Deno.connect({ hostname: "127.0.0.1", port });
  if (isTls) {
    socket = await Deno.startTls(socket as Deno.TcpConn, { hostname: "localhost", caCerts: [CA_CERT] });
  }
  let hung = false;
  const giveUp = () => {
    hung = true;
    closeQuietly(socket);
  };
  let timer = setTimeout(giveUp, patienceMs);
  let received = "";
  const sending = (async () => {
    for (const part of parts) {
      await writeAll(socket, fromLatin1(part));
      if (parts.length > 1) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })().catch(onlyDisconnects);
  try {
    const chunk = new Uint8Array(65536);
    for (let count; (count = await socket.read(chunk)) !== null;) {
      received += latin1(chunk.subarray(0, count));
      clearTimeout(timer);
      timer = setTimeout(giveUp, patienceMs);
    }
  } catch (thrown) {
    onlyDisconnects(thrown);
  }
  await sending;
  clearTimeout(timer);
  closeQuietly(socket);
  return { received, hung };
}

function onlyDisconnects(thrown: unknown): void {
  const { BrokenPipe, ConnectionReset, BadResource, Interrupted, UnexpectedEof } = Deno.errors;
  const kinds = [BrokenPipe, ConnectionReset, BadResource, Interrupted, UnexpectedEof];
  if (!kinds.some((kind) => thrown instanceof kind)) throw thrown;
}

for (const transport of ["http1", "fetch"]) {
  Deno.test(`${transport}: mutated requests bring no crash, no hang, no 5xx and no request of another meaning`, async () => {
    const fuzz = new Fuzz(transport === "fetch");
    await using upstream = countingUpstream((request) => fuzz.arrived(request));
    const tlsPort = freePort();
    const directory = await Deno.makeTempDir({ prefix: "dispa-fuzz-" });
    Deno.writeTextFileSync(`${directory}/cert.pem`, SERVER_CERT);
    Deno.writeTextFileSync(`${directory}/key.pem`, SERVER_KEY);
    const toml = `[http_client]\ntransport = "${transport}"\n[[targets.targets]]\nname = "one"\n` +
      `url = "${upstream.url}"\n[targets.health_check]\nenabled = false\n` +
      `[tls]\nport = ${tlsPort}\ncert_file = "${directory}/cert.pem"\nkey_file = "${directory}/key.pem"\n` +
      "[security.ddos]\nmin_body_bytes_per_sec = 100000\n";
    try {
      await using dispa = await Dispa.start({
        toml,
        server: "header_timeout = 1\nkeep_alive_timeout = 1\n",
      });
      const { pid } = dispa;
      const endMs = performance.now() + FUZZ_MS / 2;
      let next = 0;
      await Promise.all(Array.from({ length: CLIENTS }, async (_, client) => {
        const isTls = client % 6 === 0;
        while (performance.now() < endMs) await fuzz.run(next++, isTls ? tlsPort : dispa.port, isTls);
      }));
      fuzz.check();
      assert.equal((await dispa.fetch("example.com")).status, 200);
      await quiet(dispa);
      await eventually(
        "all connections are gone",
        async () => await dispa.metric("dispa_active_connections") === 0,
      );
      assert.equal(dispa.pid, pid);
      assert.equal(await dispa.metric("dispa_worker_restarts_total"), 0);
      assert.doesNotMatch(dispa.stderr.text, /inside the proxy|panicked|[Uu]ncaught/);
      assert.ok(fuzz.answered > fuzz.cases / 4 && fuzz.refused > fuzz.cases / 10, Deno.inspect(fuzz));
      console.log(`${transport}: ${fuzz.cases} cases, ${fuzz.answered} answers 200, ${fuzz.refused} refused`);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}
