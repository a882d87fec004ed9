/** Takes connections from a listening socket until it is closed, through whatever goes wrong in between. */

/** What the loop needs of a `Deno.Listener`. */
export interface AcceptSource<Connection> {
  accept(): Promise<Connection>;
  close(): void;
}

export interface AcceptEvents<Connection> {
  onConnection(connection: Connection): void;
  /** An attempt failed; `first` is true for the first one, and the first one after a recovery. */
  onFailure(fault: unknown, first: boolean): void;
  /** Connections come again, and none has failed for a while. */
  onRecovery(): void;
}

const FIRST_PAUSE_MS = 10;
const MAX_PAUSE_MS = 1_000;
/** Where descriptors are just short, accepting works one moment and fails the next: that is one failure. */
const CALM_MS = 1_000;
/** A drain does not wait longer than this for a connection after which it can close. */
const QUIET_MS = 100;
/** More than an accept takes that finds a connection waiting. */
const ACCEPT_TURNS = 16;

export class AcceptLoop<Connection> {
  readonly #source: AcceptSource<Connection>;
  readonly #events: AcceptEvents<Connection>;
  readonly #calmMs: number;
  readonly #closed = Promise.withResolvers<void>();
  /** Resolves when nothing of the loop runs any more. */
  readonly ended: Promise<void>;
  #isClosed = false;
  #isFailing = false;
  #recovery: ReturnType<typeof setTimeout> | undefined;
  #drain: ReturnType<typeof setTimeout> | undefined;
  #isLastCall = false;

  /** @param calmMs after so long without a failure it is over. Default 1 s */
  constructor(source: AcceptSource<Connection>, events: AcceptEvents<Connection>, calmMs = CALM_MS) {
    this.#source = source;
    this.#events = events;
    this.#calmMs = calmMs;
    this.ended = this.#run();
  }

  async #run(): Promise<void> {
    let pauseMs = 0;
    while (!this.#isClosed) {
      let connection: Connection;
      try {
        connection = await this.#source.accept();
      } catch (fault) {
        if (this.#isClosed) return;
        // The client left before it was its turn: nothing is wrong here.
        if (fault instanceof Deno.errors.ConnectionAborted || fault instanceof Deno.errors.ConnectionReset) {
          continue;
        }
        this.#failed(fault);
        pauseMs = Math.min(MAX_PAUSE_MS, Math.max(FIRST_PAUSE_MS, pauseMs * 2));
        await this.#pause(pauseMs);
        continue;
      }
      pauseMs = 0;
      if (this.#isLastCall && !this.#isClosed) return await this.#closeAfter(connection);
      if (this.#isFailing && !this.#isClosed) this.#recovery ??= setTimeout(this.#recovered, this.#calmMs);
      this.#events.onConnection(connection);
    }
  }

  #failed(fault: unknown): void {
    clearTimeout(this.#recovery);
    this.#recovery = undefined;
    const first = !this.#isFailing;
    this.#isFailing = true;
    this.#events.onFailure(fault, first);
  }

  readonly #recovered = (): void => {
    this.#recovery = undefined;
    this.#isFailing = false;
    this.#events.onRecovery();
  };

  /**
   * Closes as soon as no connection waits behind this one: right after an accept it is the socket itself that
   * says so, at any other time only what the runtime has last heard of it. What happens on the connections has
   * to wait, as those are lost that come meanwhile. (Of 500 new ones a second, each close lost 2 at any time,
   * and one close in 40 a single one in this way.)
   */
  async #closeAfter(connection: Connection): Promise<void> {
    const taken = [connection];
    for (;;) {
      const before = taken.length;
      // Closed, as is wanted here; if it is another failure, that is the end as well.
      const accepting = this.#source.accept().then((next) => void taken.push(next), () => undefined);
      for (let turn = 0; turn < ACCEPT_TURNS && taken.length === before; turn++) await undefined;
      if (taken.length > before) continue;
      this.close();
      await accepting;
      break;
    }
    for (const each of taken) this.#events.onConnection(each);
  }

  async #pause(milliseconds: number): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = setTimeout(over.resolve, milliseconds);
    await Promise.race([over.promise, this.#closed.promise]);
    clearTimeout(timer);
  }

  /**
   * Goes on for `forMs`, then closes when it finds that no connection waits to be accepted: the system resets
   * those that do, although others may listen on the same port. Resolves as `ended`.
   */
  drain(forMs: number): Promise<void> {
    this.#drain ??= setTimeout(() => {
      this.#isLastCall = true;
      this.#drain = setTimeout(() => this.close(), QUIET_MS);
    }, forMs);
    return this.ended;
  }

  /** Accepts no more connections; one that has been accepted already is still given, before `ended`. */
  close(): void {
    clearTimeout(this.#drain);
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closed.resolve();
    clearTimeout(this.#recovery);
    this.#source.close();
  }
}
