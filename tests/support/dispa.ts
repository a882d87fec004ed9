/** The real program as a child process, on free ports and in a folder of its own. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RUN_FLAGS } from "../../src/build/run_flags.ts";
import type { TrafficRow } from "../../src/traffic/record.ts";
import { eventually } from "./eventually.ts";
import { Lines } from "./lines.ts";
import { freePort } from "./ports.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The command that starts the program: the executable in DISPA_BIN, or the sources. */
export function dispaCommand(
  args: string[],
  options: Partial<Deno.CommandOptions> = {},
  { under = [], importMap }: HowToStart = {},
): Deno.Command {
  const binary = Deno.env.get("DISPA_BIN");
  const command = binary === undefined
    ? [
      Deno.execPath(),
      "run",
      ...RUN_FLAGS,
      "--config",
      join(ROOT, "deno.json"),
      ...(importMap === undefined ? [] : ["--import-map", importMap]),
      join(ROOT, "main.ts"),
    ]
    : [binary];
  const [program, ...first] = [...under, ...command];
  return new Deno.Command(program, {
    args: [...first, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", ...options.env },
    ...omitEnv(options),
  });
}

function omitEnv({ env: _env, ...rest }: Partial<Deno.CommandOptions>): Partial<Deno.CommandOptions> {
  return rest;
}

export interface HowToStart {
  /** A command, with its arguments, that runs the program: `prlimit …`. */
  under?: string[];
  /** In the place of that in deno.json; has no effect on an executable. */
  importMap?: string;
}

export interface DispaOptions extends HowToStart {
  /** Everything but the listeners: domains, targets, logging …; `[server]` and `[monitoring]` keys are merged in. */
  toml: string;
  /** Whether `toml` is the whole file: listeners and folders are then given by environment variables. */
  isWhole?: boolean;
  /** Further lines of `[server]`. */
  server?: string;
  /** Further lines of `[monitoring]` (tables of it go into `toml`). */
  monitoring?: string;
  workers?: number;
  /** To listen on; another instance may have it, too. Default: a free one. */
  port?: number;
  args?: string[];
  env?: Record<string, string>;
}

/** A line of the traffic log's files. */
export type TrafficLine = TrafficRow;

export class Dispa implements AsyncDisposable {
  readonly port: number;
  readonly healthPort = freePort();
  readonly metricsPort = freePort();
  readonly directory = Deno.makeTempDirSync({ prefix: "dispa-test-" });
  readonly configPath = join(this.directory, "config.toml");
  readonly logs = join(this.directory, "logs");
  readonly #options: DispaOptions;
  #child: Deno.ChildProcess | null = null;
  #stderr: Lines | null = null;
  #stdout: Lines | null = null;
  #status: Deno.CommandStatus | null = null;

  private constructor(options: DispaOptions) {
    this.#options = options;
    this.port = options.port ?? freePort();
  }

  /** Starts the program and resolves when it serves. */
  static async start(options: DispaOptions): Promise<Dispa> {
    const dispa = new Dispa(options);
    try {
      await dispa.restart();
    } catch (fault) {
      await dispa[Symbol.asyncDispose]();
      throw fault;
    }
    return dispa;
  }

  /** The whole configuration: `toml` with this instance's listeners. */
  config(toml = this.#options.toml): string {
    if (this.#options.isWhole) return toml;
    const { server = "", monitoring = "", workers = Number(Deno.env.get("DISPA_TEST_WORKERS") ?? 1) } =
      this.#options;
    const logging = /^\[logging\b/m.test(toml) ? "" : `[logging.file]\ndirectory = "${this.logs}"\n`;
    return `[server]
bind_address = "127.0.0.1:${this.port}"
workers = ${workers}
${server}
[monitoring]
bind_address = "127.0.0.1"
health_check_port = ${this.healthPort}
metrics_port = ${this.metricsPort}
${monitoring}
${logging}
${toml}`;
  }

  /** Starts the program (again) with the present configuration. */
  async restart(): Promise<void> {
    if (!exists(this.configPath)) Deno.writeTextFileSync(this.configPath, this.config());
    const { args = [] } = this.#options;
    const env = { ...(this.#options.isWhole ? this.#listeners() : {}), ...this.#options.env };
    this.#status = null;
    const options = { cwd: this.directory, env };
    this.#child = dispaCommand(["run", "-c", this.configPath, ...args], options, this.#options).spawn();
    this.#stderr = new Lines(this.#child.stderr);
    this.#stdout = new Lines(this.#child.stdout);
    this.#child.status.then((status) => this.#status = status);
    await this.stderr.waitFor(/serving on http/);
  }

  #listeners(): Record<string, string> {
    return {
      DISPA_BIND_ADDRESS: `127.0.0.1:${this.port}`,
      DISPA_METRICS_PORT: String(this.metricsPort),
      DISPA_HEALTH_CHECK_PORT: String(this.healthPort),
      DISPA_WORKERS: Deno.env.get("DISPA_TEST_WORKERS") ?? "1",
      DISPA_LOG_DIRECTORY: this.logs,
    };
  }

  get stderr(): Lines {
    if (this.#stderr === null) throw new Error("not started");
    return this.#stderr;
  }

  get pid(): number {
    if (this.#child === null) throw new Error("not started");
    return this.#child.pid;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** A request through the proxy with the given Host. */
  async fetch(host: string, path = "/", init: RequestInit = {}): Promise<Response> {
    const client = Deno.createHttpClient({ allowHost: true, poolMaxIdlePerHost: 0 });
    try {
      const headers = new Headers(init.headers);
      headers.set("host", host);
      const response = await fetch(this.origin + path, { redirect: "manual", ...init, headers, client });
      const body = await response.arrayBuffer();
      return new Response([204, 304].includes(response.status) ? null : body, response);
    } finally {
      client.close();
    }
  }

  async health(): Promise<
    { status: number; body: Record<string, unknown> & { targets: Record<string, unknown>[] } }
  > {
    const response = await fetch(`http://127.0.0.1:${this.healthPort}/health`);
    return { status: response.status, body: await response.json() };
  }

  async metrics(): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`)).text();
  }

  /** The value of one series, e.g. `dispa_requests_total{domain="a",method="GET",status="200"}`; 0 if absent. */
  async metric(series: string): Promise<number> {
    for (const line of (await this.metrics()).split("\n")) {
      if (line.startsWith(`${series} `)) return Number(line.slice(series.length + 1));
    }
    return 0;
  }

  /** All records written so far, in the order of the files. */
  records(): TrafficLine[] {
    return readRecords(this.logs);
  }

  /** Waits for the record that `matches`. */
  record(what: string, matches: (record: TrafficLine) => boolean): Promise<TrafficLine> {
    return eventually(`a record: ${what}`, () => this.records().find(matches));
  }

  /** Replaces the configuration as `kubectl` and most editors do, by rename, and waits until it is in use. */
  async reload(toml: string): Promise<void> {
    const from = this.stderr.all.length;
    this.writeConfig(this.config(toml));
    await this.stderr.waitFor(/configuration reloaded/, from);
  }

  writeConfig(text: string): void {
    Deno.writeTextFileSync(`${this.configPath}.new`, text);
    Deno.renameSync(`${this.configPath}.new`, this.configPath);
  }

  signal(signal: Deno.Signal): void {
    this.#child?.kill(signal);
  }

  /** Ends the program and returns its exit code. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    if (this.#child === null) throw new Error("not started");
    if (this.#status === null) this.#child.kill(signal);
    return await this.exited();
  }

  async exited(): Promise<number> {
    if (this.#child === null) throw new Error("not started");
    const { code } = await this.#child.status;
    await Promise.all([this.#stderr?.done, this.#stdout?.done]);
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child !== null) await this.stop("SIGKILL");
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** All records in the traffic log files of a folder, moved ones included, in the order in which they were begun. */
export function readRecords(directory: string): TrafficLine[] {
  if (!exists(directory)) return [];
  const files = [...Deno.readDirSync(directory)].map((entry) => entry.name)
    .filter((name) => name.startsWith("traffic-")).sort(byDayAndNumber);
  return files.flatMap((name) => {
    const lines = Deno.readTextFileSync(join(directory, name)).split("\n");
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as TrafficLine);
  });
}

/** `traffic-2026-11-23.log` comes before `traffic-2026-11-23.1.log`. */
function byDayAndNumber(a: string, b: string): number {
  const key = (name: string) =>
    name.replace(/^(.{18})\.(?:(\d+)\.)?/, (_, day, number = "0") => `${day}.${number.padStart(9, "0")}.`);
  return key(a) < key(b) ? -1 : 1;
}

/** Runs a command of the program to its end. */
export async function runDispa(
  args: string[],
  options: Partial<Deno.CommandOptions> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await dispaCommand(args, options).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return false;
    throw fault;
  }
}
