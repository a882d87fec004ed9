/** `mode = "persistent"`: a program that is kept running and exchanges one line of JSON for each call. */
import type { CommandSettings } from "../config/plugins/command.ts";
import { decodeOutput, tooLarge } from "./command_once.ts";
import type { Call, Lane, LaneEvents } from "./lane.ts";
import { PluginError } from "./plugin.ts";
import { concat, ProcessGroup } from "./process_group.ts";

const encoder = new TextEncoder();
const LINE_FEED = 0x0a;
/** How long a program whose input was closed, or that closed its output, may take to end by itself. */
const FAREWELL_MS = 500;

interface Running {
  resolve(output: string): void;
  reject(reason: PluginError): void;
}

/**
 * What the program is expected to do:
 *
 *     quiet    nothing: there is no call
 *     answer   to write the line that a call waits for
 *     late     to write the line of a call that has timed out; only while it starts
 *     dead     nothing any more
 */
type State = "quiet" | "answer" | "late" | "dead";

export class CommandLane implements Lane {
  readonly #settings: CommandSettings;
  readonly #events: LaneEvents;
  readonly #group: ProcessGroup | null;
  #state: State = "quiet";
  #running: Running | null = null;
  #callTimer: ReturnType<typeof setTimeout> | undefined;
  /** Runs from the first call to the first answer. */
  #startTimer: ReturnType<typeof setTimeout> | undefined;
  #hasAnswered = false;
  #line: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  constructor(settings: CommandSettings, events: LaneEvents) {
    this.#settings = settings;
    this.#events = events;
    let group: ProcessGroup | null = null;
    try {
      group = new ProcessGroup(settings);
      queueMicrotask(() => this.#state === "dead" || events.onFree());
    } catch (fault) {
      if (!(fault instanceof PluginError)) throw fault;
      queueMicrotask(() => this.#fail(fault));
    }
    this.#group = group;
    if (group !== null) void this.#listen(group);
  }

  call({ input }: Call): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const { timeout_ms: timeoutMs, start_timeout_ms: startTimeoutMs } = this.#settings;
    this.#running = { resolve, reject };
    this.#state = "answer";
    this.#callTimer = setTimeout(() => this.#onTimeout(), timeoutMs);
    if (!this.#hasAnswered && this.#startTimer === undefined) {
      this.#startTimer = setTimeout(
        () =>
          this.#fail(new PluginError("timeout", `the program gave no first answer in ${startTimeoutMs} ms`)),
        startTimeoutMs,
      );
    }
    void this.#group?.write(encoder.encode(`${input}\n`));
    return promise;
  }

  #onTimeout(): void {
    const error = new PluginError("timeout", `the program did not answer in ${this.#settings.timeout_ms} ms`);
    if (this.#hasAnswered) {
      this.#fail(error);
      return;
    }
    // It still starts: killing it now would keep a slow starter from ever serving.
    this.#state = "late";
    this.#running?.reject(error);
    this.#running = null;
  }

  async #listen(group: ProcessGroup): Promise<void> {
    for (let chunk = await group.read(); chunk !== null; chunk = await group.read()) {
      if (this.#state === "dead") return;
      if (this.#state === "quiet") {
        this.#fail(
          new PluginError("bad_output", `the program wrote ${chunk.length} bytes without being asked`),
        );
        return;
      }
      this.#take(chunk);
    }
    if (this.#state === "dead") return;
    // Most often because it has ended; a program that goes on without its output is of no use either.
    await group.endWithin(FAREWELL_MS);
    this.#fail(new PluginError("io", await group.obituary()));
  }

  #take(chunk: Uint8Array<ArrayBuffer>): void {
    const end = chunk.indexOf(LINE_FEED);
    const { max_output_bytes: maxBytes } = this.#settings;
    if (this.#line.length + (end === -1 ? chunk.length : end) > maxBytes) {
      this.#fail(tooLarge(maxBytes));
      return;
    }
    this.#line = concat(this.#line, end === -1 ? chunk : chunk.slice(0, end));
    if (end === -1) return;
    const line = this.#line;
    this.#line = new Uint8Array(0);
    if (end + 1 < chunk.length) {
      this.#fail(new PluginError("bad_output", "the program wrote more than one line for one call"));
      return;
    }
    try {
      this.#answered(jsonLine(line));
    } catch (fault) {
      if (!(fault instanceof PluginError)) throw fault;
      this.#fail(fault);
    }
  }

  #answered(output: string): void {
    const running = this.#running;
    clearTimeout(this.#callTimer);
    clearTimeout(this.#startTimer);
    this.#hasAnswered = true;
    this.#running = null;
    this.#state = "quiet";
    running?.resolve(output);
    this.#events.onFree();
  }

  /** What it would say next could be the answer to another call: whatever fails, the program is replaced. */
  #fail(reason: PluginError): void {
    if (this.#state === "dead") return;
    const running = this.#running;
    this.#die();
    this.#group?.kill();
    void this.#group?.release();
    running?.reject(reason);
    this.#events.onEnd(reason, this.#group?.ended ?? Promise.resolve());
  }

  #die(): void {
    this.#state = "dead";
    this.#running = null;
    clearTimeout(this.#callTimer);
    clearTimeout(this.#startTimer);
  }

  /** Closes the program's input, by which it may end in order, and kills it if it does not. */
  async end(): Promise<void> {
    const running = this.#running;
    this.#die();
    running?.reject(new PluginError("exec", "the plugin has ended"));
    const group = this.#group;
    if (group === null) return;
    void group.closeInput();
    await group.endWithin(FAREWELL_MS);
    await group.release();
  }
}

/**
 * An empty line is an answer, too.
 * @throws PluginError of the kind `bad_output`: a program that writes anything else has lost step
 */
function jsonLine(bytes: Uint8Array): string {
  const line = decodeOutput(bytes);
  if (line.trim() === "") return "";
  try {
    JSON.parse(line);
  } catch (fault) {
    throw new PluginError(
      "bad_output",
      `the program wrote a line that is not JSON: ${JSON.stringify(line.slice(0, 80))}`,
      {
        cause: fault,
      },
    );
  }
  return line;
}
