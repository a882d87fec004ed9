/** Clients that ask without a pause, each request with a path of its own. */
import { RawClient } from "./upstream.ts";

export interface Asked {
  path: string;
  /** What `stage` was when the request was sent and when its answer was there. */
  from: number;
  to: number;
}

export class SteadyClients implements AsyncDisposable {
  /** Requests that were answered with 200, in the order of their answers. */
  readonly answered: Asked[] = [];
  /** Set by the test to tell its parts from each other. */
  stage = 0;
  readonly #clients: Promise<void>[];
  readonly #waiting = new Set<() => void>();
  #isOver = false;

  /** The upstream has to answer with a body that ends in "hello"; paths begin with `prefix`. */
  constructor(port: number, host: string, prefix = "/steady", connections = 4) {
    this.#clients = Array.from({ length: connections }, (_, index) => {
      const client = this.#ask(port, host, `${prefix}/${index}`);
      // Looked at in `stop`; until then a failure is not one that nobody handles.
      client.catch(() => {});
      return client;
    });
  }

  async #ask(port: number, host: string, prefix: string): Promise<void> {
    using client = await RawClient.connect(port);
    for (let number = 0; !this.#isOver; number++) {
      const path = `${prefix}/${number}`;
      const from = this.stage;
      client.received = "";
      try {
        await client.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      } catch (fault) {
        // The program is gone, as tests of its death want it.
        if (fault instanceof Deno.errors.BrokenPipe || fault instanceof Deno.errors.ConnectionReset) return;
        throw fault;
      }
      await client.readUntil(/hello$/);
      if (client.ended && !client.received.endsWith("hello")) return;
      if (!client.received.startsWith("HTTP/1.1 200 ")) throw new Error(`${path}: ${client.received}`);
      this.answered.push({ path, from, to: this.stage });
      for (const look of this.#waiting) look();
    }
  }

  /** Resolves when so many further requests have been answered. Throws if a client fails before. */
  async served(count: number): Promise<void> {
    const wanted = this.answered.length + count;
    const reached = Promise.withResolvers<void>();
    const look = () => {
      if (this.answered.length >= wanted) reached.resolve();
    };
    const ended = Promise.all(this.#clients).then(() => {
      if (this.answered.length < wanted) throw new Error("all clients have ended");
    });
    this.#waiting.add(look);
    try {
      await Promise.race([reached.promise, ended]);
    } finally {
      this.#waiting.delete(look);
    }
  }

  /** Ends the clients after the answers that they wait for. Throws for an answer that was not 200. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.allSettled(this.#clients);
  }
}
