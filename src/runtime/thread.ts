/** What the control thread knows of any other thread: start it, talk to it, notice its end. */

export interface ThreadEvents<Message> {
  onMessage(message: Message): void;
  /** The thread threw where nobody caught it, or could not be loaded; it does not run any more. */
  onDeath(reason: string): void;
}

/** A module worker with typed messages and a death that does not take the process with it. */
export class Thread<Out, In> {
  readonly #worker: Worker;
  #ended = false;

  constructor(url: URL, name: string, events: ThreadEvents<In>) {
    this.#worker = new Worker(url, { type: "module", name });
    this.#worker.onmessage = (event: MessageEvent<In>) => events.onMessage(event.data);
    this.#worker.onerror = (event) => {
      // Unless prevented, an uncaught fault of a worker ends the whole process.
      event.preventDefault();
      if (this.#ended) return;
      this.end();
      events.onDeath(event.message);
    };
    this.#worker.onmessageerror = () => {
      if (this.#ended) return;
      this.end();
      events.onDeath("a message could not be decoded");
    };
  }

  post(message: Out, transfer: Transferable[] = []): void {
    if (!this.#ended) this.#worker.postMessage(message, transfer);
  }

  /** Ends the thread at once, whatever it does. */
  end(): void {
    this.#ended = true;
    this.#worker.terminate();
  }
}
