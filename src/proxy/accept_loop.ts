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

  async #pause(milliseconds: number): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = setTimeout(over.resolve, milliseconds);
    await Promise.race([over.promise, this.#closed.promise]);
    clearTimeout(timer);
  }

  /** Accepts no more connections; one that has been accepted already is still given, before `ended`. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closed.resolve();
    clearTimeout(this.#recovery);
    this.#source.close();
  }
}
