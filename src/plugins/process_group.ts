/** A program that a plugin runs, in a process group of its own so that all it starts can be ended with it. */
import { resolve } from "node:path";
import type { CommandSettings } from "../config/plugins/command.ts";
import { PluginError } from "./plugin.ts";

type Chunk = Uint8Array<ArrayBuffer>;

/** What is kept of a program's error output. */
const STDERR_TAIL_BYTES = 1024;
/** Longest wait for the last words of a program that has ended: something else may hold its error output. */
const LAST_WORDS_MS = 50;
/** Longest wait for a killed program to be gone: one in the middle of a system call may take for ever. */
const REAPED_MS = 1000;

export class ProcessGroup {
  /** Resolves when the program has ended and the system has forgotten it. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #pid: number;
  readonly #stdin: WritableStreamDefaultWriter<Chunk>;
  readonly #stdout: ReadableStreamDefaultReader<Chunk>;
  readonly #stderr: ReadableStreamDefaultReader<Chunk>;
  readonly #drained: Promise<void>;
  #lastWords: Chunk = new Uint8Array(0);
  #hasEnded = false;
  #outputHasEnded = false;

  /** @throws PluginError of the kind `exec` */
  constructor(settings: CommandSettings) {
    const child = spawn(settings);
    this.#pid = child.pid;
    this.ended = child.status.then((status) => {
      this.#hasEnded = true;
      return status;
    });
    this.#stdin = child.stdin.getWriter();
    this.#stdout = child.stdout.getReader();
    this.#stderr = child.stderr.getReader();
    this.#drained = this.#drain();
  }

  /** Reads the error output: a program that nobody reads would stop when the pipe is full. */
  async #drain(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#stderr.read();
      if (done) return;
      this.#lastWords = concat(this.#lastWords, value).slice(-STDERR_TAIL_BYTES);
    }
  }

  /** Resolves, too, when the program does not read or has ended: what it was told is its own affair. */
  async write(bytes: Chunk): Promise<void> {
    try {
      await this.#stdin.write(bytes);
    } catch (fault) {
      if (!isClosedPipe(fault)) throw fault;
    }
  }

  async closeInput(): Promise<void> {
    try {
      await this.#stdin.close();
    } catch (fault) {
      if (!isClosedPipe(fault)) throw fault;
    }
  }

  /** @returns what the program wrote since; null at the end */
  async read(): Promise<Chunk | null> {
    const { done, value } = await this.#stdout.read();
    if (done) this.#outputHasEnded = true;
    return done ? null : value;
  }

  /** How it ended and what it said last, for messages. Resolves after `ended`. */
  async obituary(): Promise<string> {
    const { code, signal } = await this.ended;
    await within(LAST_WORDS_MS, this.#drained);
    const words = new TextDecoder().decode(this.#lastWords).trim();
    const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
    return words === ""
      ? `the program ${how}`
      : `the program ${how}, its last words: ${JSON.stringify(words)}`;
  }

  /** Kills the program and all it has started that is still in its group. */
  kill(): void {
    // With nobody left in the group its number may be another's.
    if (this.#hasEnded && this.#outputHasEnded) return;
    try {
      Deno.kill(-this.#pid, "SIGKILL");
    } catch (fault) {
      const isGone = fault instanceof Deno.errors.NotFound;
      // It has taken other rights than ours: to close its pipes is all that can be done.
      const isForeign = fault instanceof Deno.errors.PermissionDenied;
      if (!isGone && !isForeign) throw fault;
    }
  }

  /** Resolves when the program is gone after `kill`, or after a second. */
  reaped(): Promise<void> {
    return within(REAPED_MS, this.ended);
  }

  /** Waits for the program to end by itself, and kills it if it does not. */
  async endWithin(ms: number): Promise<void> {
    await within(ms, this.ended);
    if (this.#hasEnded) return;
    this.kill();
    await this.ended;
  }

  /** Lets go of the pipes, which something that left the group may hold open. Last of all. */
  async release(): Promise<void> {
    // Not awaited: it waits for what is being written.
    this.#stdin.abort(new TypeError("the program is let go")).catch(ignoreClosedPipe);
    await Promise.all([this.#stdout.cancel(), this.#stderr.cancel()]);
  }
}

/** Resolves with the promise, or without it after that time. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  let timer;
  const patience = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  await Promise.race([promise, patience]);
  clearTimeout(timer);
}

function spawn({ exec, args, cwd, env }: CommandSettings): Deno.ChildProcess {
  // Otherwise a relative path would begin at `cwd`.
  const program = resolve(exec);
  try {
    return new Deno.Command(program, {
      args,
      cwd,
      env,
      clearEnv: true,
      detached: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (fault) {
    const reason = fault instanceof Error ? fault.message : String(fault);
    throw new PluginError("exec", `cannot start the program: ${reason}`, { cause: fault });
  }
}

/** A TypeError is what a stream says that has failed before. */
function isClosedPipe(fault: unknown): boolean {
  return fault instanceof Deno.errors.BrokenPipe || fault instanceof TypeError;
}

function ignoreClosedPipe(fault: unknown): void {
  if (!isClosedPipe(fault)) throw fault;
}

export function concat(a: Chunk, b: Chunk): Chunk {
  if (a.length === 0) return b;
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
