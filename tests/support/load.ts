/** Load from wrk on an nginx that counts what reaches it: more requests than a client in JavaScript can make. */
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { freePort } from "./ports.ts";
import { requires } from "./skip.ts";

/** How long the load lasts; longer by hand. */
export const LOAD_SECONDS = Number(Deno.env.get("DISPA_LOAD_SECONDS") ?? 3);

/** For `Deno.test`: skipped, and says so, on a machine without wrk or nginx. */
export function requiresLoad(): { ignore: boolean } {
  const missing = [
    requires("wrk", "/usr/bin/wrk", "/usr/local/bin/wrk"),
    requires("nginx", "/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"),
  ];
  return { ignore: missing.some(({ ignore }) => ignore) };
}

/** An upstream that answers "hello" to everything and counts the requests. */
export class CountingUpstream implements AsyncDisposable {
  readonly port = freePort();
  readonly #statusPort = freePort();
  readonly #folder = Deno.makeTempDirSync({ prefix: "dispa-nginx-" });
  readonly #child: Deno.ChildProcess;
  #looks = 0;

  private constructor() {
    const config = join(this.#folder, "nginx.conf");
    Deno.writeTextFileSync(config, this.#config());
    this.#child = new Deno.Command("nginx", {
      args: ["-p", this.#folder, "-e", "error.log", "-c", config],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  static async start(): Promise<CountingUpstream> {
    const upstream = new CountingUpstream();
    try {
      await eventually("nginx answers", () => upstream.requests().then(() => true));
    } catch (fault) {
      await upstream[Symbol.asyncDispose]();
      throw fault;
    }
    return upstream;
  }

  /** No limit on the requests of a connection: a pooled one that closes makes the proxy try twice. */
  #config(): string {
    return `daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log error.log;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  server { listen 127.0.0.1:${this.port}; location / { return 200 "hello"; } }
  server { listen 127.0.0.1:${this.#statusPort}; location / { stub_status; } }
}`;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Requests so far, those of this method left out. */
  async requests(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#statusPort}/`);
    const text = await response.text();
    this.#looks++;
    const counts = /^ (\d+) (\d+) (\d+) $/m.exec(text);
    if (counts === null) throw new Error(`nginx's status is ${JSON.stringify(text)}`);
    return Number(counts[3]) - this.#looks;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

export interface LoadReport {
  /** Answers that wrk has read to their end; each of its connections may have had one more under way. */
  answers: number;
  connections: number;
  /** Answers that were neither 2xx nor 3xx. */
  failures: number;
  /** What wrk says of connections that it could not make, read, or write, or that took too long; null: nothing. */
  socketErrors: string | null;
}

/** wrk, until it is stopped. */
export class Load implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<Deno.CommandOutput>;
  readonly #connections: number;
  #ended = false;

  constructor(port: number, host: string, connections = 32) {
    this.#connections = connections;
    this.#child = new Deno.Command("wrk", {
      // The duration is only a bound: `stop` ends it.
      args: ["-t1", `-c${connections}`, "-d600s", "-H", `Host: ${host}`, `http://127.0.0.1:${port}/load`],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#output = this.#child.output().finally(() => this.#ended = true);
  }

  /** Ends the load and says what came of it. */
  async stop(): Promise<LoadReport> {
    if (!this.#ended) this.#child.kill("SIGINT");
    const { stdout, stderr } = await this.#output;
    const text = new TextDecoder().decode(stdout);
    const answers = /^\s*(\d+) requests in /m.exec(text);
    if (answers === null) throw new Error(`wrk printed ${text}${new TextDecoder().decode(stderr)}`);
    const failures = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0;
    const socketErrors = /Socket errors: (.*)/.exec(text)?.[1] ?? null;
    return {
      answers: Number(answers[1]),
      connections: this.#connections,
      failures: Number(failures),
      socketErrors,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#child.kill("SIGKILL");
    await this.#output;
  }
}

/** Lets the load go on for so long. */
export function loadFor(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
