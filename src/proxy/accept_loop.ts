/** Takes connections from a listening socket until it is closed, through whatever goes wrong in between. */

/** What the loop needs of a `Deno.Listener`. */
export interface AcceptSource<Connection> {
  accept(): Promise<Connection>;
  close(): void;
}

export interface AcceptEvents<Connection> {
  onConnection(connection: Connection): void;
  /** An attempt failed; `first` is true where the one before had not. */
  onFailure(fault: unknown, first: boolean): void;
  /** Connections come again after failures. */
  onRecovery(): void;
}

const FIRST_PAUSE_MS = 10;
const MAX_PAUSE_MS = 1_000;

export class AcceptLoop<Connection> {
  readonly #source: AcceptSource<Connection>;
  readonly #events: AcceptEvents<Connection>;
  readonly #closed = Promise.withResolvers<void>();
  /** Resolves when nothing of the loop runs any more. */
  readonly ended: Promise<void>;
  #isClosed = false;

  constructor(source: AcceptSource<Connection>, events: AcceptEvents<Connection>) {
    this.#source = source;
    this.#events = events;
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
        this.#events.onFailure(fault, pauseMs === 0);
        pauseMs = Math.min(MAX_PAUSE_MS, Math.max(FIRST_PAUSE_MS, pauseMs * 2));
        await this.#pause(pauseMs);
        continue;
      }
      if (pauseMs > 0) this.#events.onRecovery();
      pauseMs = 0;
      this.#events.onConnection(connection);
    }
  }

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
    this.#source.close();
  }
}
