/** A plugin's thread as the proxy thread sees it: a Worker that runs one call at a time. */
import type { Call, Lane, LaneEvents } from "./lane.ts";
import { PluginError, type Stage } from "./plugin.ts";
import { type FromPluginThread, readThreadMessage, type ToPluginThread } from "./thread_messages.ts";

export interface ThreadOptions<Start> {
  url: URL;
  /** Shown by debuggers. */
  name: string;
  start: Start;
  timeoutMs: number;
  /** Left out: those of the proxy thread. */
  permissions?: Deno.PermissionOptions;
  onReady(stages: Stage[]): void;
  /** Called when a thread had to be left behind that does not answer any more. */
  onStuck(): void;
}

/** A thread ends its calls itself. One that is this late cannot: it runs in a loop that nothing inside interrupts. */
const GRACE_MS = 250;
/** How long a thread may take until it is ready. */
const START_TIMEOUT_MS = 10_000;

interface Running {
  readonly id: number;
  resolve(output: string): void;
  reject(reason: PluginError): void;
}

export class ThreadLane<Start> implements Lane {
  readonly #worker: Worker;
  readonly #options: ThreadOptions<Start>;
  readonly #events: LaneEvents;
  #timer: ReturnType<typeof setTimeout>;
  #isReady = false;
  #running: Running | null = null;
  #calls = 0;
  #ended = false;

  constructor(options: ThreadOptions<Start>, events: LaneEvents) {
    const { url, name, permissions } = options;
    this.#options = options;
    this.#events = events;
    this.#worker = new Worker(url, {
      type: "module",
      name,
      ...(permissions === undefined ? {} : { deno: { permissions } }),
    });
    this.#worker.onmessage = (event: MessageEvent<unknown>) => {
      const message = readThreadMessage(event.data);
      if (message !== null) this.#onMessage(message);
    };
    this.#worker.onerror = (event) => {
      // Unless prevented, an uncaught fault of a worker ends the one that started it.
      event.preventDefault();
      this.#fail(new PluginError("panic", `a fault that nobody caught: ${event.message}`));
    };
    this.#worker.onmessageerror = () => {
      this.#fail(new PluginError("bad_output", "a message of the thread could not be decoded"));
    };
    this.#timer = setTimeout(() => this.#stuck(`was not ready in ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
    this.#post({ type: "start", start: options.start });
  }

  #post(message: ToPluginThread<Start>): void {
    this.#worker.postMessage(message);
  }

  call({ stage, input }: Call): Promise<string> {
    const id = ++this.#calls;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#running = { id, resolve, reject };
    const { timeoutMs } = this.#options;
    this.#timer = setTimeout(() => this.#stuck(`did not end in ${timeoutMs} ms`), timeoutMs + GRACE_MS);
    this.#post({ type: "call", id, stage, input });
    return promise;
  }

  #onMessage(message: FromPluginThread): void {
    if (this.#ended) return;
    if (message.type === "fault") {
      this.#fail(new PluginError("panic", `a fault that nobody caught: ${message.message}`));
      return;
    }
    if (!this.#isReady) {
      if (message.type === "refused") this.#fail(new PluginError("exec", message.message));
      if (message.type !== "ready") return;
      this.#isReady = true;
      clearTimeout(this.#timer);
      this.#options.onReady(message.stages);
      this.#events.onFree();
      return;
    }
    const running = this.#running;
    if (running === null || !("id" in message) || message.id !== running.id) return;
    if (message.type === "output") {
      this.#over();
      running.resolve(message.output);
      this.#events.onFree();
      return;
    }
    const error = new PluginError(message.kind, message.message);
    if (message.spoiled) {
      this.#fail(error);
      return;
    }
    this.#over();
    running.reject(error);
    this.#events.onFree();
  }

  #over(): void {
    clearTimeout(this.#timer);
    this.#running = null;
  }

  #stuck(what: string): void {
    this.#options.onStuck();
    this.#fail(new PluginError("timeout", `the plugin ${what}`));
  }

  #fail(reason: PluginError): void {
    if (this.#ended) return;
    const running = this.#running;
    this.#terminate();
    running?.reject(reason);
    this.#events.onEnd(reason, Promise.resolve());
  }

  #terminate(): void {
    this.#ended = true;
    this.#over();
    this.#worker.terminate();
  }

  end(): Promise<void> {
    const running = this.#running;
    if (!this.#ended) this.#terminate();
    running?.reject(new PluginError("exec", "the plugin has ended"));
    return Promise.resolve();
  }
}
