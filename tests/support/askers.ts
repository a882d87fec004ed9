/** Clients that must not notice what happens to the program. */
import { NoAnswer, Wire } from "./wire.ts";

/** Clients that ask without end, each on one connection for as long as that lasts, or on a new one each time. */
export class Askers {
  answered = 0;
  /** Connections that were reset before their first answer began. */
  resets = 0;
  readonly faults: string[] = [];
  readonly #clients: Promise<void>[];
  #isOver = false;

  /** @param ports where they connect: to the first on which somebody listens */
  constructor(
    readonly ports: readonly number[],
    readonly host: string,
    { keepingAlive, anew }: { keepingAlive: number; anew: number },
  ) {
    this.#clients = [
      ...Array.from({ length: keepingAlive }, () => this.#run(false)),
      ...Array.from({ length: anew }, () => this.#run(true)),
    ];
  }

  async #run(anew: boolean): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#connection(anew);
      } catch (fault) {
        this.faults.push(String(fault));
      }
    }
  }

  async #connection(anew: boolean): Promise<void> {
    let connected: Wire;
    try {
      connected = await this.#connect();
    } catch (fault) {
      if (!(fault instanceof Deno.errors.ConnectionReset)) throw fault;
      this.resets++;
      return;
    }
    using wire = connected;
    for (let first = true; !this.#isOver; first = false) {
      await wire.send(`GET / HTTP/1.1\r\nHost: ${this.host}\r\n\r\n`);
      try {
        const { status, isWhole, closes } = await wire.answer();
        if (status !== 200 || !isWhole) throw new Error(`status ${status}, whole: ${isWhole}`);
        this.answered++;
        if (closes) return;
      } catch (fault) {
        if (!first || !(fault instanceof NoAnswer)) throw fault;
        this.resets++;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (anew) return;
    }
  }

  async #connect(): Promise<Wire> {
    for (const port of this.ports.slice(0, -1)) {
      try {
        return await Wire.connect(port);
      } catch (fault) {
        if (!(fault instanceof Deno.errors.ConnectionRefused)) throw fault;
      }
    }
    return await Wire.connect(this.ports.at(-1)!);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }
}
