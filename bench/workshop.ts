/** The temporary folder and the processes of one bench run: whatever happens, none of them stays. */
import { join } from "node:path";

/** A process that does not end by itself after SIGTERM is killed after this time. */
const STOP_TIMEOUT_MS = 5_000;

export class BenchProcess {
  readonly pid: number;
  /** Everything the process printed. */
  readonly outputPath: string;
  readonly status: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  #ended = false;

  constructor(child: Deno.ChildProcess, outputPath: string) {
    this.#child = child;
    this.pid = child.pid;
    this.outputPath = outputPath;
    this.status = child.status.then((status) => {
      this.#ended = true;
      return status;
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  async stop(): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGTERM");
    const killer = setTimeout(() => {
      if (!this.#ended) this.#child.kill("SIGKILL");
    }, STOP_TIMEOUT_MS);
    await this.status;
    clearTimeout(killer);
  }

  /** The last lines it printed, for error messages. */
  lastOutput(): string {
    return Deno.readTextFileSync(this.outputPath).trimEnd().split("\n").slice(-10).join("\n");
  }
}

/** This process's environment without Dispa's variables, which go before its configuration file. */
function inherited(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) => !name.startsWith("DISPA_")),
  );
}

export class Workshop implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "dispa-bench-" });
  readonly #processes = new Set<BenchProcess>();
  readonly #cleanups: (() => Promise<void>)[] = [];
  #folders = 0;
  #closed = false;

  /** A new empty folder. */
  folder(name: string): string {
    const path = join(this.directory, `${++this.#folders}-${name}`);
    Deno.mkdirSync(path);
    return path;
  }

  /** Starts a program whose output goes to a file in `folder`. */
  spawn(folder: string, program: string, args: string[], env: Record<string, string> = {}): BenchProcess {
    if (this.#closed) throw new Error(`not starting ${program}: the bench is being stopped`);
    const outputPath = join(folder, "output");
    // The shell only redirects: a pipe would have to be read by this process, at the cost of the processor
    // that is being measured. `exec` keeps the process id.
    const child = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" >"$BENCH_OUTPUT" 2>&1', "sh", program, ...args],
      cwd: folder,
      clearEnv: true,
      env: { ...inherited(), ...env, BENCH_OUTPUT: outputPath, NO_COLOR: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const process = new BenchProcess(child, outputPath);
    this.#processes.add(process);
    process.status.then(() => this.#processes.delete(process));
    return process;
  }

  /** Runs a program to its end and returns what it printed. Throws where it ends with another exit code. */
  async run(program: string, args: string[], exitCode = 0): Promise<string> {
    const folder = this.folder("run");
    const process = this.spawn(folder, program, args);
    const { code } = await process.status;
    const output = await Deno.readTextFile(process.outputPath);
    if (code !== exitCode) {
      throw new Error(`${program} ended with exit code ${code}: ${process.lastOutput()}`);
    }
    await Deno.remove(folder, { recursive: true });
    return output;
  }

  /** To be called at the end, the last registered first. */
  defer(cleanup: () => Promise<void>): void {
    this.#cleanups.push(cleanup);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#processes].map((process) => process.stop()));
    for (const cleanup of this.#cleanups.toReversed()) await cleanup();
    await Deno.remove(this.directory, { recursive: true });
  }
}
