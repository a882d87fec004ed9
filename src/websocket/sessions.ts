/** The WebSockets of one proxy thread that are open now. */
import type { WebSocketSession } from "./relay.ts";

export class WebSocketSessions {
  readonly #open = new Set<WebSocketSession>();

  get size(): number {
    return this.#open.size;
  }

  add(session: WebSocketSession): void {
    this.#open.add(session);
    session.ended.then(() => this.#open.delete(session));
  }

  /** Closes every session, as `WebSocketSession.close` does. Resolves when all have ended. */
  async closeAll(code: number, reason: string): Promise<void> {
    const ending = [...this.#open].map((session) => {
      session.close(code, reason);
      return session.ended;
    });
    await Promise.all(ending);
  }
}
