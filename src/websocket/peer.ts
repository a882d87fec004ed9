/** What the relay asks of either end of a WebSocket, and is told by it. */
import type { Message } from "./frames.ts";

/** How an end of the WebSocket stopped speaking. */
export type Ending =
  /** A Close frame came; it has been answered. @property code `NO_CODE` if it had none */
  | { kind: "closed"; code: number; reason: string }
  /** The connection ended without a Close frame, in whatever way. */
  | { kind: "lost"; message: string }
  /** It broke the protocol or a limit; it has been told so with `code`. */
  | { kind: "fault"; code: number; message: string }
  /** It is there but does not answer pings, or takes nothing of what is sent. */
  | { kind: "silent"; message: string };

export interface PeerEvents {
  /** Messages may be sent from now on. Once, before anything else but `ended`. */
  opened(): void;
  /** @param bytes of the payload: for text, its UTF-8 */
  message(data: Message, bytes: number): void;
  /** After a `send` that returned false: there is room again. */
  drained(): void;
  /** The last event: nothing more comes from this end. Once, but not after `finish` or `drop`. */
  ended(ending: Ending): void;
}

/** One end of a WebSocket. Whoever holds it ends it: by `close`, `finish` or `drop`. */
export interface Peer {
  /** Begins to read. Events come only after it has returned. */
  start(events: PeerEvents): void;
  /**
   * Queues a message; nothing happens if the end is closed or closing.
   * @returns false if more than the allowed bytes wait: `drained` tells when there is room
   */
  send(data: Message): boolean;
  /** Reads no more messages after the one at hand, so that the sender is held back. */
  pause(): void;
  resume(): void;
  /** Whether `pause` holds the sender back. */
  readonly canPause: boolean;
  /** Sends a Close frame after all that is queued; `ended` follows in bounded time. Only after `start`. */
  close(code: number, reason: string): void;
  /** Ends the connection without a Close frame once all that is queued has been sent. */
  finish(): void;
  /** Ends the connection now. */
  drop(): void;
}
