/** A signer that publishes its keys, and can be told to do it badly. */
import type { FetchLimits } from "../../../src/security/jwks_fetch.ts";
import { RemoteKeySets } from "../../../src/security/remote_keys.ts";

export type Answer = (request: Request) => Response | Promise<Response>;

export class KeyServer {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly requests: string[] = [];
  answer: Answer;
  #waiting: { count: number; resolve: () => void }[] = [];

  constructor(answer: Answer) {
    this.answer = answer;
    this.#server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
      this.requests.push(new URL(request.url).pathname);
      this.#waiting = this.#waiting.filter(({ count, resolve }) => {
        if (this.requests.length < count) return true;
        resolve();
        return false;
      });
      return this.answer(request);
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/jwks`;
  }

  get port(): number {
    return this.#server.addr.port;
  }

  /** Resolves when so many requests have come in all. */
  asked(count: number): Promise<void> {
    if (this.requests.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  close(): Promise<void> {
    return this.#server.shutdown();
  }
}

export const keySet = (...keys: unknown[]): Answer => () => Response.json({ keys });
export const broken: Answer = () => new Response("no", { status: 500 });

export interface Rig {
  server: KeyServer;
  sets: RemoteKeySets;
  lines: string[];
  /** The clock of the key sets, in milliseconds. */
  clock: { nowMs: number };
}

export async function withKeyServer(
  answer: Answer,
  body: (rig: Rig) => Promise<void>,
  limits: FetchLimits = { timeoutMs: 10_000, maxBytes: 65_536 },
): Promise<void> {
  const server = new KeyServer(answer);
  const lines: string[] = [];
  const clock = { nowMs: 0 };
  const sets = new RemoteKeySets({
    log: (level, message, fields) => lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
    nowMs: () => clock.nowMs,
    limits,
  });
  try {
    await body({ server, sets, lines, clock });
  } finally {
    await server.close();
  }
}
