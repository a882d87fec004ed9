/** The lanes of one plugin in one proxy thread, and the calls that wait for one. */
import type { Call, Lane, LaneEvents } from "./lane.ts";
import { type PluginContext, PluginError } from "./plugin.ts";

export interface LanePoolOptions {
  start(events: LaneEvents): Lane;
  /** Kept running, and started anew when they end. At least 1. */
  minimum: number;
  /** Started on demand. */
  maximum: number;
  /** The longest a call may run; how long it may wait follows from it. */
  timeoutMs: number;
  /** What a lane is called in messages: thread, process. */
  noun: string;
  log: PluginContext["log"];
}

/** Calls that may wait for a lane of one pool; each holds its input, so at most some tens of kilobytes. */
const MAX_WAITING = 256;
/** A call that has waited this long gets one more lane started. */
const GROW_AFTER_MS = 5;
/** Ended lanes are replaced; how long a call may wait must cover that, whatever its own time-out. */
const SHORTEST_WAIT_MS = 1000;
/** Wait before the next start after the first lane that ended without having served; doubled each time. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;

interface Waiting {
  readonly call: Call;
  readonly timer: ReturnType<typeof setTimeout>;
  resolve(output: Promise<string>): void;
  reject(reason: PluginError): void;
}

export class LanePool {
  readonly #options: LanePoolOptions;
  readonly #longestWaitMs: number;
  readonly #lanes = new Set<Lane>();
  /** What is left of lanes that have ended. */
  readonly #dying = new Set<Promise<unknown>>();
  /** The one freed last is taken first: its caches are warm. */
  readonly #free: Lane[] = [];
  readonly #waiting = new Set<Waiting>();
  #starting = 0;
  #growTimer: ReturnType<typeof setTimeout> | null = null;
  /** Lanes that ended without having served, since one has served. */
  #failures = 0;
  #lastFailure: PluginError | null = null;
  /** While it is set no lane is started. */
  #backoffTimer: ReturnType<typeof setTimeout> | null = null;
  /** Why no call is taken any more; null while calls are. */
  #closed: PluginError | null = null;
  #first: PromiseWithResolvers<void> | null = null;

  constructor(options: LanePoolOptions) {
    this.#options = options;
    this.#longestWaitMs = Math.max(2 * options.timeoutMs, SHORTEST_WAIT_MS);
    this.#replenish();
  }

  /** The longest a call can take, the wait for a lane included; what lanes need to notice its end comes on top. */
  get longestMs(): number {
    return this.#longestWaitMs + this.#options.timeoutMs;
  }

  /**
   * Resolves when the first lane can take calls. To be called right after the constructor, and not twice.
   * @throws PluginError: why it could not be started
   */
  ready(): Promise<void> {
    this.#first = Promise.withResolvers();
    return this.#first.promise;
  }

  /**
   * Runs a call on a lane that is free, or on the first that will be.
   * @throws PluginError: what the lane throws, `timeout` or `concurrency` if none was free, or why none can start
   */
  call(call: Call): Promise<string> {
    const lane = this.#free.pop();
    if (lane !== undefined) return lane.call(call);
    const refusal = this.#refusal();
    if (refusal !== null) return Promise.reject(refusal);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const waitMs = this.#longestWaitMs;
    const waiting: Waiting = {
      call,
      resolve,
      reject,
      timer: setTimeout(() => {
        this.#waiting.delete(waiting);
        reject(new PluginError("timeout", `no ${this.#options.noun} was free for ${waitMs} ms`));
      }, waitMs),
    };
    this.#waiting.add(waiting);
    this.#grow();
    return promise;
  }

  #refusal(): PluginError | null {
    const { noun } = this.#options;
    if (this.#closed !== null) return this.#closed;
    if (this.#waiting.size >= MAX_WAITING) {
      return new PluginError("concurrency", `${MAX_WAITING} calls already wait for a free ${noun}`);
    }
    if (this.#backoffTimer !== null && this.#lanes.size === 0) return this.#unstartable();
    return null;
  }

  #unstartable(): PluginError {
    const { kind, message } = this.#lastFailure as PluginError;
    return new PluginError(kind, `no ${this.#options.noun} runs, one is started again soon: ${message}`);
  }

  #replenish(): void {
    while (this.#lanes.size < this.#options.minimum && this.#start());
  }

  #start(): boolean {
    if (this.#closed !== null || this.#backoffTimer !== null) return false;
    let started = false;
    const lane = this.#options.start({
      onFree: () => {
        if (!started) {
          started = true;
          this.#starting--;
          this.#first?.resolve();
        } else {
          this.#failures = 0;
        }
        this.#next(lane);
      },
      onEnd: (reason, gone) => {
        this.#dying.add(gone);
        void gone.then(() => this.#dying.delete(gone));
        if (!started) this.#starting--;
        this.#first?.reject(reason);
        this.#lanes.delete(lane);
        const place = this.#free.indexOf(lane);
        if (place !== -1) this.#free.splice(place, 1);
        this.#ended(reason);
      },
    });
    this.#starting++;
    this.#lanes.add(lane);
    return true;
  }

  #next(lane: Lane): void {
    const [waiting] = this.#waiting;
    if (waiting === undefined) {
      this.#free.push(lane);
      return;
    }
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
    waiting.resolve(lane.call(waiting.call));
  }

  #ended(reason: PluginError): void {
    if (this.#closed !== null) return;
    // A time-out says nothing against the next lane, and other calls wait for it.
    if (reason.kind !== "timeout") {
      this.#failures++;
      this.#lastFailure = reason;
      // The first one may have met a call that no lane withstands: the others shall not wait for it.
      if (this.#failures > 1) this.#backOff(reason);
    }
    this.#replenish();
    this.#grow();
  }

  #backOff(reason: PluginError): void {
    if (this.#backoffTimer !== null) return;
    const waitMs = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(this.#failures - 2, 16), LONGEST_BACKOFF_MS);
    this.#options.log("warn", `a plugin's ${this.#options.noun} ended, starting again after a pause`, {
      error: reason.message,
      pause_ms: waitMs,
    });
    this.#backoffTimer = setTimeout(() => {
      this.#backoffTimer = null;
      this.#replenish();
      this.#grow();
    }, waitMs);
    if (this.#lanes.size === 0) this.#rejectWaiting(this.#unstartable());
  }

  #rejectWaiting(reason: PluginError): void {
    for (const { timer, reject } of this.#waiting) {
      clearTimeout(timer);
      reject(reason);
    }
    this.#waiting.clear();
  }

  /** Sees to it that calls which wait get a further lane in a moment, unless one is about to be free. */
  #grow(): void {
    if (this.#growTimer !== null || this.#waiting.size === 0) return;
    if (this.#lanes.size >= this.#options.maximum || this.#backoffTimer !== null) return;
    this.#growTimer = setTimeout(() => {
      this.#growTimer = null;
      if (this.#waiting.size === 0) return;
      if (this.#starting === 0 && this.#lanes.size < this.#options.maximum) this.#start();
      this.#grow();
    }, GROW_AFTER_MS);
  }

  /** Starts no lane any more. Calls that find or get none fail with `reason`. */
  close(reason: string): void {
    if (this.#closed !== null) return;
    this.#closed = new PluginError("exec", `the plugin has ended: ${reason}`);
    if (this.#growTimer !== null) clearTimeout(this.#growTimer);
    if (this.#backoffTimer !== null) clearTimeout(this.#backoffTimer);
    this.#rejectWaiting(this.#closed);
  }

  /** Ends all lanes; resolves when nothing is left of them. */
  async dispose(): Promise<void> {
    this.close("its configuration is no longer in force");
    await Promise.all([...this.#dying, ...[...this.#lanes].map((lane) => lane.end())]);
  }
}
