/** The client's end of a WebSocket: the runtime's, with what is missing there built around it. */
import { Buffer } from "node:buffer";
import type { FlatHeaders } from "../http/flat_headers.ts";
import { NO_CODE } from "./close_codes.ts";
import type { Message } from "./frames.ts";
import type { WebSocketLimits } from "./limits.ts";
import type { Ending, Peer, PeerEvents } from "./peer.ts";
import { type SocketHooks, socketHooks } from "./runtime_hooks.ts";

export interface AcceptOptions {
  /** The subprotocol to answer with; null: none. */
  protocol: string | null;
  /** Further fields of the 101; none of the handshake's own. */
  headers: FlatHeaders;
  limits: WebSocketLimits;
  /** What `connectionRelease` gave for the request's connection; null where it came through `Deno.serve`. */
  onOpen: (() => void) | null;
  /** Null leaves the runtime's internals alone: nothing is held back then. For tests; left out: what is there. */
  hooks?: null;
}

/** The runtime tells nobody when its buffer empties: it is looked at so often, at first and at most. */
const FIRST_POLL_MS = 1;
const LAST_POLL_MS = 50;
/** A client that takes less than this, 10 kB/s, counts as stalled: the runtime tells only of whole messages. */
const MIN_BYTES_PER_MS = 10;
/** Sending resets the ping's clock, but not more often than this. */
const TOUCH_MS = 1000;

/**
 * Answers a request that passed `upgradeRefusal` with 101. The response has to be returned to the listener at
 * once, as it is.
 * @throws TypeError or Deno.errors.Http if the client has left or the request was answered before
 */
export function acceptWebSocket(
  request: Request,
  options: AcceptOptions,
): { response: Response; client: ClientSocket } {
  const { limits } = options;
  const { response, socket } = Deno.upgradeWebSocket(request, {
    // The runtime pings after half of it.
    idleTimeout: limits.pingIntervalMs * 2 / 1000,
  });
  const { headers } = response;
  // Not by the runtime's own option: that refuses "a,b", a list without spaces.
  if (options.protocol !== null) headers.set("sec-websocket-protocol", options.protocol);
  for (let i = 0; i < options.headers.length; i += 2) {
    headers.append(options.headers[i], options.headers[i + 1]);
  }
  const hooks = options.hooks === null ? null : socketHooks(socket);
  return { response, client: new ClientSocket(socket, limits, hooks, options.onOpen) };
}

class ClientSocket implements Peer {
  readonly canPause: boolean;
  readonly #socket: WebSocket;
  readonly #limits: WebSocketLimits;
  readonly #hooks: SocketHooks | null;
  #events: PeerEvents | null = null;
  #state: "opening" | "open" | "closing" | "gone" = "opening";
  #isPauseAsked = false;
  #fault: string | null = null;

  #isFull = false;
  #pollTimer: ReturnType<typeof setTimeout> | undefined;
  #openTimer: ReturnType<typeof setTimeout> | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  #touchedMs = 0;

  constructor(
    socket: WebSocket,
    limits: WebSocketLimits,
    hooks: SocketHooks | null,
    onOpen: (() => void) | null,
  ) {
    this.#socket = socket;
    this.#limits = limits;
    this.#hooks = hooks;
    this.canPause = hooks !== null;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      onOpen?.();
      this.#opened();
    };
    socket.onmessage = (event) => this.#message(event.data);
    socket.onerror = (event) => this.#failed("message" in event ? event.message : "");
    socket.onclose = (event) => this.#closed(event);
  }

  start(events: PeerEvents): void {
    this.#events = events;
    this.#openTimer = setTimeout(
      () => this.#lost("it left before the WebSocket was open"),
      this.#limits.openTimeoutMs,
    );
  }

  send(data: Message): boolean {
    if (this.#state !== "open") return true;
    this.#socket.send(data);
    this.#touch();
    if (!this.#isFull && this.#socket.bufferedAmount > this.#limits.maxBufferedBytes) {
      this.#isFull = true;
      this.#poll(FIRST_POLL_MS, performance.now(), this.#socket.bufferedAmount);
    }
    return !this.#isFull;
  }

  pause(): void {
    this.#isPauseAsked = true;
  }

  resume(): void {
    this.#isPauseAsked = false;
    if (this.#state !== "gone") this.#hooks?.resume();
  }

  /** The runtime ends the connection as soon as the client has answered, or sent anything else. */
  close(code: number, reason: string): void {
    if (this.#state === "opening") {
      this.drop();
      this.#events?.ended({ kind: "lost", message: "it was closed before it was open" });
    }
    if (this.#state !== "open") return;
    const waiting = this.#socket.bufferedAmount;
    this.#state = "closing";
    if (code === NO_CODE) this.#socket.close();
    else this.#socket.close(code, reason);
    // The answer has to be read.
    this.resume();
    this.#closeTimer = setTimeout(
      () => this.#giveUp("it did not answer the Close frame"),
      this.#limits.closeTimeoutMs + waiting / MIN_BYTES_PER_MS,
    );
  }

  /** As `drop`: the runtime does not say when what is queued has been sent. */
  finish(): void {
    this.drop();
  }

  drop(): void {
    if (this.#state === "gone") return;
    const wasOpening = this.#state === "opening";
    this.#leave();
    // Before it is open there is nothing to end yet: `#opened` does it.
    if (!wasOpening) this.#destroy();
  }

  #opened(): void {
    if (this.#state === "gone") return this.#destroy();
    clearTimeout(this.#openTimer);
    this.#state = "open";
    this.#touchedMs = performance.now();
    this.#events?.opened();
  }

  #message(data: unknown): void {
    if (this.#state !== "open") return;
    if (typeof data === "string") this.#events?.message(data, Buffer.byteLength(data));
    else if (data instanceof ArrayBuffer) this.#events?.message(new Uint8Array(data), data.byteLength);
    // The last thing in here: see `SocketHooks.pause`.
    if (this.#isPauseAsked && this.#state === "open") this.#hooks?.pause();
  }

  #failed(message: string): void {
    this.#fault = message;
    // Deno 2.6 says no more of a client that left before its socket was open.
    if (this.#state === "opening") this.#lost("it left before the WebSocket was open");
  }

  #closed({ code, reason }: CloseEvent): void {
    if (this.#fault === NO_PONG) return this.#end({ kind: "silent", message: "it did not answer a ping" });
    // The runtime has 0 where there was no Close frame.
    if (this.#fault !== null || code === 0) {
      return this.#lost(
        this.#fault === null || this.#fault === "Unexpected EOF"
          ? "the connection ended without a Close frame"
          : this.#fault,
      );
    }
    this.#end({ kind: "closed", code, reason });
  }

  #lost(message: string): void {
    this.#end({ kind: "lost", message });
  }

  #end(ending: Ending): void {
    if (this.#state === "gone") return;
    this.#leave();
    this.#events?.ended(ending);
  }

  #leave(): void {
    this.#state = "gone";
    clearTimeout(this.#openTimer);
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#closeTimer);
  }

  /** Whoever is sent messages need not be asked whether he is there: a connection that is dead fills up. */
  #touch(): void {
    const now = performance.now();
    if (now - this.#touchedMs < TOUCH_MS) return;
    this.#touchedMs = now;
    this.#hooks?.restartIdleTimeout();
  }

  #poll(delayMs: number, sinceMs: number, before: number): void {
    this.#pollTimer = setTimeout(() => {
      const waiting = this.#socket.bufferedAmount;
      const now = performance.now();
      if (waiting <= this.#limits.maxBufferedBytes / 2) {
        this.#isFull = false;
        this.#events?.drained();
      } else if (waiting < before) {
        this.#poll(FIRST_POLL_MS, now, waiting);
      } else if (now - sinceMs > this.#limits.stallTimeoutMs + waiting / MIN_BYTES_PER_MS) {
        this.#giveUp("it takes nothing of what is sent");
      } else {
        this.#poll(Math.min(delayMs * 2, LAST_POLL_MS), sinceMs, waiting);
      }
    }, delayMs);
  }

  #giveUp(message: string): void {
    this.drop();
    this.#events?.ended({ kind: "silent", message });
  }

  #destroy(): void {
    if (this.#hooks === null) this.#socket.close();
    else this.#hooks.destroy();
  }
}

/** The error of the runtime's own watch over pings. */
const NO_PONG = "No response from ping frame.";
