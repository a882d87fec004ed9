/**
 * Every section of the configuration changes while clients ask without a pause, and while a WebSocket, a stream of
 * events and a download that began under the first configuration go on.
 */
import assert from "node:assert/strict";
import { Askers } from "../support/askers.ts";
import { Authority } from "../support/certificates.ts";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { fromLatin1, latin1, ok, RawUpstream, type Reply, writeAll } from "../support/upstream.ts";
import { clientFrame, RawSocket, TEXT } from "../support/websocket_frames.ts";
import { echo, switching } from "../support/websocket_upstream.ts";
import { Wire } from "../support/wire.ts";

const HOST = "example.com";
const EVENT_MS = 20;
const GONE = "close 1001 the proxy does not serve this any more";
/** A socket that stops listening may lose a connection that comes in that very moment (see `AcceptLoop`). */
const MOST_RESETS = 1;

/** A target; what it streams ends when it is told to. */
class Target implements AsyncDisposable {
  #isOver = false;
  readonly upstream: RawUpstream;
  /** Requests by path. */
  readonly seen = new Map<string, number>();

  constructor(readonly name: string) {
    this.upstream = new RawUpstream(({ target, head, body }) => {
      this.seen.set(target, (this.seen.get(target) ?? 0) + 1);
      return this.#reply(target, head, body);
    });
  }

  #reply(target: string, head: string, body: string): Reply {
    switch (target) {
      case "/stream":
        return (socket) => this.#stream(socket);
      case "/websocket":
        return async (socket) => {
          await writeAll(socket, fromLatin1(await switching(`${head}\r\n\r\n`)));
          await echo(new RawSocket(socket));
        };
      case "/flaky":
        return this.name === "one" ? "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n" : ok("at last");
      case "/trip":
        return (socket) => socket.close();
      case "/who":
        return ok(this.name);
      default:
        return ok(body === "" ? "hello" : body);
    }
  }

  async #stream(socket: Deno.TcpConn): Promise<void> {
    await writeAll(socket, fromLatin1("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
    for (let event = 0; !this.#isOver; event++) {
      const text = `data: ${event}\n\n`;
      await writeAll(socket, fromLatin1(`${text.length.toString(16)}\r\n${text}\r\n`));
      await new Promise((resolve) => setTimeout(resolve, EVENT_MS));
    }
    await writeAll(socket, fromLatin1("0\r\n\r\n"));
  }

  endStreams(): void {
    this.#isOver = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endStreams();
    await this.upstream[Symbol.asyncDispose]();
  }
}

/** A stream as its client sees it. */
class Stream {
  #pieces = "";
  readonly whole: Promise<boolean>;

  constructor(readonly wire: Wire) {
    this.whole = wire.answer({ onBody: (piece) => void (this.#pieces += latin1(piece)) })
      .then(({ isWhole, status }) => isWhole && status === 200);
    this.whole.catch(() => {});
  }

  static async open(port: number): Promise<Stream> {
    const wire = await Wire.connect(port, 300_000);
    await wire.send(`GET /stream HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    return new Stream(wire);
  }

  /** Resolves when something new has come. */
  async goesOn(): Promise<void> {
    const before = this.#pieces.length;
    await eventually("the stream goes on", () => this.#pieces.length > before);
  }

  /** Whether no event is missing. */
  get isComplete(): boolean {
    return this.#pieces === this.#pieces.split("\n\n").slice(0, -1).map((_, i) => `data: ${i}\n\n`).join("");
  }
}

/** A WebSocket as its client sees it. */
class Chat implements Disposable {
  readonly #socket: RawSocket;

  private constructor(readonly wire: Wire) {
    this.#socket = new RawSocket(wire.socket, wire.unread);
  }

  static async open(port: number, host = HOST): Promise<Chat> {
    const wire = await Wire.connect(port, 300_000);
    await wire.send(
      `GET /websocket HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert.equal((await wire.head()).status, 101);
    return new Chat(wire);
  }

  /** Sends a text and returns what comes back. */
  async says(text: string): Promise<string | null> {
    await this.#socket.send(clientFrame(TEXT, text));
    return await this.#socket.said();
  }

  said(): Promise<string | null> {
    return this.#socket.said();
  }

  [Symbol.dispose](): void {
    this.wire[Symbol.dispose]();
  }
}

/** The parts of a configuration; a step changes some and leaves the others. */
interface Parts {
  domains: string;
  server: string;
  balancing: string;
  health: string;
  logging: string;
  tls: string;
  targets: string;
  more: string;
  workers: number;
}

class Run {
  parts: Parts;
  #address: string;
  healthPort: number;

  constructor(readonly dispa: Dispa, parts: Parts) {
    this.parts = parts;
    this.#address = `127.0.0.1:${dispa.port}`;
    this.healthPort = dispa.healthPort;
  }

  set bindPort(port: number) {
    this.#address = `127.0.0.1:${port}`;
  }

  text(): string {
    const { workers, server } = this.parts;
    return this.dispa.config(tomlOf(this.parts))
      .replace(/^workers = \d+$/m, `workers = ${workers}\n${server}`)
      .replace(`127.0.0.1:${this.dispa.port}`, this.#address)
      .replace(`health_check_port = ${this.dispa.healthPort}`, `health_check_port = ${this.healthPort}`);
  }

  /** Takes the changed parts into use. @returns the lines of the log from then on */
  async change(parts: Partial<Parts> = {}): Promise<string[]> {
    this.parts = { ...this.parts, ...parts };
    const from = this.dispa.stderr.all.length;
    this.dispa.writeConfig(this.text());
    const line = await this.dispa.stderr.waitFor(/configuration (not )?reloaded/, from);
    assert.match(line, /configuration reloaded/);
    return this.dispa.stderr.all.slice(from);
  }
}

function tomlOf({ domains, balancing, health, logging, tls, targets, more }: Parts): string {
  return `
[domains]
intercept_domains = [${domains}]
[targets.load_balancing]
${balancing}
[targets.health_check]
${health}
${logging}
${tls}
${more}
${targets}`;
}

function targetToml({ name, upstream }: Target, weight = 1): string {
  return `[[targets.targets]]\nname = "${name}"\nurl = "${upstream.url}"\nweight = ${weight}\n`;
}

Deno.test("every section changes under load: no request fails, nothing that is open closes while it has a way", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "dispa-tls-" });
  try {
    await using one = new Target("one");
    await using two = new Target("two");
    const file = `[logging]\nflush_interval = 0.1\n[logging.file]\ndirectory = "./logs"\n`;
    const first: Parts = {
      domains: `"${HOST}"`,
      server: "",
      balancing: "",
      health: "enabled = false",
      logging: file,
      tls: "",
      targets: targetToml(one),
      more: "",
      workers: 2,
    };
    await using dispa = await Dispa.start({ toml: tomlOf(first), workers: 2 });
    const run = new Run(dispa, first);
    const moved = freePort();
    const askers = new Askers([dispa.port, moved], HOST, { keepingAlive: 3, anew: 2 });
    const [stream, download] = [await Stream.open(dispa.port), await Stream.open(dispa.port)];
    // So many that some are in a thread that a change of the number of threads takes out.
    const chats = await Promise.all(Array.from({ length: 6 }, () => Chat.open(dispa.port)));
    let chatsStand = true;

    const requests = () => dispa.metric(`dispa_requests_total{domain="${HOST}",method="GET",status="200"}`);
    /** Beside what the step itself looks at: nobody notices anything, and what was counted stays. */
    const step = async (name: string, body: () => Promise<void>) => {
      const before = await requests();
      const answered = askers.answered;
      if (!await t.step(name, body)) throw new Error(`${name}: see above`);
      await eventually("requests are answered", () => askers.answered >= answered + 20);
      assert.deepEqual(askers.faults, [], name);
      assert.ok(askers.resets <= MOST_RESETS, `${name}: ${askers.resets} connections were reset`);
      assert.ok(await requests() > before, `${name}: counters began anew`);
      await Promise.all([stream.goesOn(), download.goesOn()]);
      if (!chatsStand) return;
      for (const chat of chats) assert.equal(await chat.says(name), `text ${name}`);
    };

    await step("domains, in all threads at once", async () => {
      await run.change({ domains: `"${HOST}", "new.example.com"` });
      for (let i = 0; i < 20; i++) assert.equal((await dispa.fetch("new.example.com")).status, 200);
    });
    await step("targets", async () => {
      await run.change({ targets: targetToml(one) + targetToml(two) });
      await eventually("the new one is asked", () => two.upstream.requests.length > 5);
    });
    await step("weights and the algorithm of balancing", async () => {
      await run.change({
        balancing: 'type = "weighted"',
        targets: targetToml(one, 1) + targetToml(two, 9),
      });
      const who = [];
      for (let i = 0; i < 40; i++) who.push(await (await dispa.fetch(HOST, "/who")).text());
      assert.ok(who.filter((name) => name === "two").length > 25, who.join(" "));
      await run.change({ balancing: 'type = "leastconnections"' });
    });
    await step("health checks, whose findings outlive further changes", async () => {
      await run.change({ health: 'enabled = true\ninterval = 0.2\ntimeout = 0.1\npath = "/probe"' });
      for (const { name } of [one, two]) {
        await dispa.stderr.waitFor(new RegExp(`target "${name}" is healthy`));
      }
      await eventually("the path is asked for", () => one.seen.has("/probe"));
      const lines = await run.change({ domains: `"${HOST}", "newer.example.com"` });
      assert.equal(await dispa.metric('dispa_target_healthy{target="one"}'), 1);
      assert.deepEqual(lines.filter((line) => /target "/.test(line)), []);
    });
    await step("plugins", async () => {
      await run.change({
        more:
          '[plugins]\nenabled = true\n[[plugins.plugins]]\nname = "mark"\ntype = "headerinjector"\nenabled = true\nstage = "response"\n' +
          'config = { response_headers = { "x-mark" = "here" } }\n',
      });
      assert.equal((await dispa.fetch(HOST)).headers.get("x-mark"), "here");
    });
    await step("routing, with the plugins gone again", async () => {
      await run.change({
        more: '[[routing.rules]]\nname = "teapot"\n[routing.rules.conditions]\npath = { exact = "/rule" }\n' +
          '[routing.rules.custom_response]\nstatus_code = 418\nbody = "short and stout"\n',
      });
      const answer = await dispa.fetch(HOST, "/rule");
      assert.deepEqual([answer.status, await answer.text(), answer.headers.get("x-mark")], [
        418,
        "short and stout",
        null,
      ]);
    });
    await step("security", async () => {
      await run.change({ more: "[security]\nenabled = true\n[security.ddos]\nmax_body_bytes = 10\n" });
      const answer = await dispa.fetch(HOST, "/", { method: "POST", body: "x".repeat(11) });
      assert.equal(answer.status, 413);
      await run.change({ more: "" });
      const again = await dispa.fetch(HOST, "/", { method: "POST", body: "x".repeat(11) });
      assert.equal(again.status, 200);
    });
    await step("limits of clients", async () => {
      await run.change({ server: "header_timeout = 0.2" });
      using silent = await Wire.connect(dispa.port);
      await assert.rejects(silent.answer(), /the connection was closed/);
      await run.change({ server: "" });
    });
    await step("retries", async () => {
      await run.change({ balancing: "", more: '[retry]\nenabled = true\non = ["connect", 503]\n' });
      // One of the two targets answers 503.
      for (let i = 0; i < 10; i++) assert.equal(await (await dispa.fetch(HOST, "/flaky")).text(), "at last");
      assert.ok(one.seen.has("/flaky"));
    });
    await step("the circuit breaker", async () => {
      await run.change({
        more: "[targets.circuit_breaker]\nenabled = true\nconsecutive_failures = 1\nopen_secs = 0.1\n",
      });
      assert.equal((await dispa.fetch(HOST, "/trip", { method: "POST", body: "x" })).status, 502);
      await dispa.stderr.waitFor(/circuit of target "(one|two)" is open/);
      await run.change({ more: "" });
    });
    await step("WebSockets: new ones are held to new limits", async () => {
      await run.change({ more: "[websocket]\nmax_message_bytes = 10\n" });
      using limited = await Chat.open(dispa.port);
      assert.match(String(await limited.says("x".repeat(20))), /^close 1009/);
      await run.change({ more: "" });
    });
    await step("error pages", async () => {
      await run.change({
        more:
          '[error_pages]\n[[error_pages.pages]]\nstatus = [404]\ntext = "not here"\ncontent_type = "text/plain"\n',
      });
      assert.equal(await (await dispa.fetch("elsewhere.test")).text(), "not here");
    });
    await step("buckets of histograms", async () => {
      await run.change({
        more:
          '[[monitoring.histogram_buckets]]\nmetric = "dispa_request_duration_seconds"\nbuckets_ms = [123]\n',
      });
      assert.match(await dispa.metrics(), /dispa_request_duration_seconds_bucket\{.*le="0.123"\}/);
    });
    await step("the traffic log: files, a database as well, off, files", async () => {
      await run.change({
        logging: `[logging]\ntype = "both"\nflush_interval = 0.1\n[logging.file]\ndirectory = "./logs"\n` +
          '[logging.database]\nurl = "sqlite://./traffic.db"\n',
      });
      await dispa.fetch(HOST, "/both");
      await eventually(
        "the database is written",
        async () => await dispa.metric('dispa_log_writes_total{sink="sqlite"}') > 0,
      );
      await run.change({ logging: "[logging]\nenabled = false\n" });
      await dispa.fetch(HOST, "/off");
      await run.change({ logging: file });
      await dispa.fetch(HOST, "/files");
      await dispa.record("after it is on again", ({ path }) => path === "/files");
      assert.deepEqual(dispa.records().filter(({ path }) => path === "/off"), []);
    });
    await step("more threads, then fewer", async () => {
      for (const workers of [4, 1, 3]) {
        await run.change({ workers });
        const metrics = await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics/json`);
        assert.equal((await metrics.json()).workers.running, workers);
      }
    });
    await step("TLS: on, with another certificate, off", async () => {
      const authority = await Authority.make(folder);
      const port = freePort();
      for (const names of [["localhost"], ["localhost", "other.test"]]) {
        const { certPath, keyPath } = await authority.leaf({ names, file: names.at(-1) });
        await run.change({
          tls: `[tls]\nport = ${port}\ncert_file = "${certPath}"\nkey_file = "${keyPath}"\n`,
        });
        const name = names.at(-1)!;
        await eventually(`a certificate for ${name}`, async () => {
          using tls = await Deno.startTls(await Deno.connect({ hostname: "127.0.0.1", port }), {
            hostname: name,
            caCerts: [authority.caPem],
          });
          await tls.handshake();
          return true;
        });
      }
      await run.change({ tls: "" });
      await eventually("nobody listens", () => isRefused(port));
    });
    await step("the health port, the metrics port staying", async () => {
      const old = run.healthPort;
      run.healthPort = freePort();
      await run.change();
      const health = await fetch(`http://127.0.0.1:${run.healthPort}/health`);
      assert.equal((await health.json()).status, "healthy");
      await eventually("nobody listens on the old one", () => isRefused(old));
    });
    await step("nothing at all, where one thing cannot be", async () => {
      using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const [{ parts }, { healthPort }] = [run, run];
      run.healthPort = taken.addr.port;
      run.parts = { ...parts, domains: `"${HOST}", "never.example.com"`, workers: 1 };
      const from = dispa.stderr.all.length;
      dispa.writeConfig(run.text());
      await dispa.stderr.waitFor(/not reloaded .*monitoring\.health_check_port/, from);
      for (let i = 0; i < 10; i++) assert.equal((await dispa.fetch("never.example.com")).status, 404);
      const health = await fetch(`http://127.0.0.1:${healthPort}/health`);
      assert.equal((await health.json()).status, "healthy");
      [run.parts, run.healthPort] = [parts, healthPort];
      await run.change({ domains: `"${HOST}", "again.example.com"` });
    });
    await step("a target is removed: its WebSockets are told and closed, its streams go on", async () => {
      chatsStand = false;
      await run.change({ targets: targetToml(two) });
      for (const chat of chats) assert.equal(await chat.said(), GONE);
      const said =
        /closes (\d+) WebSocket\(s\): its target is not there any more host=example\.com target=one/;
      // Each thread says so for its own.
      await eventually("all are told of", () => {
        const told = dispa.stderr.all.map((line) => Number(said.exec(line)?.[1] ?? 0));
        return told.reduce((sum, count) => sum + count) === chats.length;
      });
    });
    await step("a domain is removed: its WebSockets are told and closed, others are not", async () => {
      await run.change({ domains: `"${HOST}", "away.${HOST}"` });
      using away = await Chat.open(dispa.port, `away.${HOST}`);
      using here = await Chat.open(dispa.port);
      await run.change({ domains: `"${HOST}"` });
      assert.equal(await away.said(), GONE);
      await dispa.stderr.waitFor(/closes 1 WebSocket\(s\): its domain is not intercepted any more host=away/);
      assert.equal(await here.says("still here"), "text still here");
    });
    await step("the address", async () => {
      run.bindPort = moved;
      await run.change();
      await eventually("nobody listens on the old one", () => isRefused(dispa.port));
    });

    one.endStreams();
    for (const { whole } of [stream, download]) assert.ok(await whole);
    assert.ok(stream.isComplete && download.isComplete);
    for (const { wire } of [stream, download, ...chats]) wire[Symbol.dispose]();
    await askers.stop();
    assert.equal(await dispa.stop("SIGTERM"), 0);
    const ids = dispa.records().map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, "no record is there twice");
    assert.equal(dispa.records().filter(({ path }) => path === "/stream").length, 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Whether nobody listens there. */
async function isRefused(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return false;
  } catch (fault) {
    if (!(fault instanceof Deno.errors.ConnectionRefused)) throw fault;
    return true;
  }
}
