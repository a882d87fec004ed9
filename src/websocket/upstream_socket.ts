/** The upstream's end of a WebSocket: RFC 6455 as a client speaks it, over a connection of our own. */
import type { FlatHeaders } from "../http/flat_headers.ts";
import type { RawConnection } from "../upstream/http1_dial.ts";
import { GOING_AWAY } from "./close_codes.ts";
import { FrameError, FrameWriter, type Message, MessageReader, OPCODE } from "./frames.ts";
import type { Agreement } from "./handshake.ts";
import type { WebSocketLimits } from "./limits.ts";
import type { Ending, Peer, PeerEvents } from "./peer.ts";

/** Queued frames up to this size together go out in one write. */
const BATCH_BYTES = 65_536;

export class UpstreamSocket implements Peer {
  readonly canPause = true;
  /** The subprotocol the upstream chose; null: none. */
  readonly protocol: string | null;
  /** Fields of the upstream's 101 for the client's. */
  readonly headers: FlatHeaders;

  readonly #conn: RawConnection;
  readonly #limits: WebSocketLimits;
  readonly #reader: MessageReader;
  readonly #writer = new FrameWriter();
  #rest: Uint8Array;
  #events: PeerEvents | null = null;
  /**
   *     open ── close, a Close frame came ──▶ closing ── the connection ended ──▶ gone
   *      └────── finish, a fault ───────────▶ leaving ── all is written ────────▶ gone
   */
  #state: "open" | "closing" | "leaving" | "gone" = "open";
  #ended = false;
  #paused: PromiseWithResolvers<void> | null = null;

  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isFull = false;
  #writing = false;
  #broken = false;
  /** Only the latest ping needs an answer (RFC 6455 section 5.5.3): so a flood of them takes no memory. */
  #pong: Uint8Array | null = null;

  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  #pingTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether, since the last look, anything came from the upstream, or went out of what had to wait. */
  #heard = true;
  #took = true;
  #pinged = false;
  #stuckLooks = 0;

  /**
   * @param conn this object's from now on
   * @param rest what was read behind the handshake
   */
  constructor(conn: RawConnection, agreement: Agreement, rest: Uint8Array, limits: WebSocketLimits) {
    this.#conn = conn;
    this.protocol = agreement.protocol;
    this.headers = agreement.headers;
    this.#rest = rest;
    this.#limits = limits;
    this.#reader = new MessageReader(
      {
        message: (data, bytes) => {
          if (!this.#ended) this.#events?.message(data, bytes);
        },
        ping: (payload) => this.#answerPing(payload),
        pong: () => {},
        close: (code, reason) => this.#closedByUpstream(code, reason),
      },
      limits.maxMessageBytes,
    );
  }

  start(events: PeerEvents): void {
    this.#events = events;
    this.#watch();
    void this.#read();
  }

  send(data: Message): boolean {
    if (this.#state !== "open") return true;
    this.#enqueue(this.#writer.message(data));
    if (this.#queuedBytes > this.#limits.maxBufferedBytes) this.#isFull = true;
    return !this.#isFull;
  }

  pause(): void {
    this.#paused ??= Promise.withResolvers();
  }

  resume(): void {
    this.#paused?.resolve();
    this.#paused = null;
  }

  close(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#enqueue(this.#writer.close(code, reason));
    this.#awaitEnd();
  }

  finish(): void {
    if (this.#state === "gone" || this.#state === "leaving") return;
    this.#state = "leaving";
    if (!this.#writing) return this.drop();
    this.#awaitEnd();
  }

  drop(): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#ended = true;
    clearTimeout(this.#closeTimer);
    clearTimeout(this.#pingTimer);
    this.#queue.length = 0;
    this.#conn.close();
    this.resume();
  }

  /** It changes while something is awaited. */
  get #isGone(): boolean {
    return this.#state === "gone";
  }

  // ---- reading ----

  async #read(): Promise<void> {
    // `start` has to return before the first event.
    await null;
    this.#events?.opened();
    try {
      this.#takeRest();
      while (!this.#isGone) {
        if (this.#paused !== null) {
          await this.#paused.promise;
          continue;
        }
        const count = await this.#conn.read(this.#reader.space);
        if (this.#isGone) return;
        if (count === null) return this.#connectionEnded("the connection ended without a Close frame");
        this.#heard = true;
        // Behind a Close frame only the end is waited for.
        if (!this.#ended) this.#reader.advance(count);
      }
    } catch (fault) {
      if (this.#isGone) return;
      if (fault instanceof FrameError) return this.#fault(fault);
      this.#connectionEnded(fault instanceof Error ? fault.message : String(fault));
    }
  }

  #takeRest(): void {
    while (this.#rest.length > 0 && !this.#ended) {
      const { space } = this.#reader;
      const part = this.#rest.subarray(0, space.length);
      space.set(part);
      this.#rest = this.#rest.subarray(part.length);
      this.#reader.advance(part.length);
    }
  }

  #closedByUpstream(code: number, reason: string): void {
    // Section 5.5.1: the answer, by custom with the same code and reason.
    this.close(code, reason);
    this.#end({ kind: "closed", code, reason });
  }

  #connectionEnded(message: string): void {
    this.#end({ kind: "lost", message });
    this.drop();
  }

  /** Section 7.1.7: says why, then ends the connection without waiting for an answer. */
  #fault({ code, message }: FrameError): void {
    if (this.#state === "open") this.#enqueue(this.#writer.close(code, ""));
    this.#end({ kind: "fault", code, message });
    this.finish();
  }

  #end(ending: Ending): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#pingTimer);
    // The end has to be seen, whatever is held back.
    this.resume();
    this.#events?.ended(ending);
  }

  #answerPing(payload: Uint8Array): void {
    if (this.#state !== "open") return;
    const pong = this.#writer.frame(OPCODE.pong, payload);
    if (this.#writing) this.#pong = pong;
    else this.#enqueue(pong);
  }

  // ---- writing ----

  #enqueue(frame: Uint8Array): void {
    if (this.#broken) return;
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    try {
      while (!this.#isGone && this.#queue.length > 0) {
        let bytes = this.#nextBatch();
        while (bytes.length > 0) {
          const count = await this.#conn.write(bytes);
          bytes = bytes.subarray(count);
          this.#queuedBytes -= count;
          // A write that leaves nothing over may only have reached the system.
          if (this.#queuedBytes > 0) this.#took = true;
        }
        this.#tellRoom();
        if (this.#pong !== null) {
          this.#queue.unshift(this.#pong);
          this.#queuedBytes += this.#pong.length;
          this.#pong = null;
        }
      }
    } catch {
      // Not the end: a Close frame may wait to be read, and if not, the read is about to fail as well.
      this.#broken = true;
      this.#queue.length = 0;
      this.#queuedBytes = 0;
      this.#tellRoom();
    }
    this.#writing = false;
    if (this.#state === "leaving") this.drop();
  }

  #nextBatch(): Uint8Array {
    let count = 0;
    let bytes = 0;
    while (count < this.#queue.length && (count === 0 || bytes + this.#queue[count].length <= BATCH_BYTES)) {
      bytes += this.#queue[count++].length;
    }
    if (count === 1) return this.#queue.shift()!;
    const batch = new Uint8Array(bytes);
    let at = 0;
    for (const frame of this.#queue.splice(0, count)) {
      batch.set(frame, at);
      at += frame.length;
    }
    return batch;
  }

  #tellRoom(): void {
    if (!this.#isFull || this.#queuedBytes > this.#limits.maxBufferedBytes / 2) return;
    this.#isFull = false;
    this.#events?.drained();
  }

  // ---- time ----

  /** From here on the connection ends, by the upstream or by us. */
  #awaitEnd(): void {
    clearTimeout(this.#closeTimer);
    this.#closeTimer = setTimeout(() => {
      // What was sent before the Close frame may take its time, as long as it moves.
      if (this.#writing && this.#took) {
        this.#took = false;
        return this.#awaitEnd();
      }
      this.#end({ kind: "silent", message: "it did not answer the Close frame" });
      this.drop();
    }, this.#limits.closeTimeoutMs);
  }

  #watch(): void {
    const { pingIntervalMs } = this.#limits;
    if (pingIntervalMs === 0) return;
    this.#pingTimer = setTimeout(() => {
      this.#look();
      if (!this.#ended) this.#watch();
    }, pingIntervalMs);
  }

  /** Looks once in `pingIntervalMs`; two looks in a row at something dead are enough. */
  #look(): void {
    const heard = this.#heard;
    const took = this.#took;
    this.#heard = false;
    this.#took = false;
    if (!this.#writing) this.#stuckLooks = 0;
    // What is not read because the client is slow proves nothing, and may be why the upstream reads nothing.
    if (this.#paused !== null || took || (heard && !this.#writing)) {
      this.#pinged = false;
      this.#stuckLooks = 0;
    } else if (this.#writing) {
      if (++this.#stuckLooks < 2) return;
      this.#end({ kind: "silent", message: "it takes nothing of what is sent" });
      this.drop();
    } else if (!this.#pinged) {
      this.#pinged = true;
      this.#enqueue(this.#writer.frame(OPCODE.ping, new Uint8Array(0)));
    } else {
      const message = "it did not answer a ping";
      if (this.#state === "open") this.#enqueue(this.#writer.close(GOING_AWAY, message));
      this.#end({ kind: "silent", message });
      this.finish();
    }
  }
}
