/** Every message between threads. They carry what is rare; what each request touches is in shared memory. */
import type { TrafficAnswer, TrafficQuestion } from "../admin/source.ts";
import type { DomainsConfig, LoggingConfig, LogLevel, TargetConfig } from "../config/model.ts";
import type { ExplainQuestion, Explanation } from "../http/explanation.ts";
import type { SeriesAnnouncement } from "../metrics/mod.ts";
import type { SnapshotSpec } from "../proxy/snapshot.ts";
import type { CertificateKeys } from "../proxy/tls_keys.ts";
import type { LogFields } from "./log.ts";
import type { ProxyBlocks } from "./shared_memory.ts";

/** Control thread to proxy thread. */
export type ToProxy =
  | {
    type: "start";
    thread: number;
    /** Of this thread alone, also of those that have ended; `thread` is given again. */
    id: number;
    blocks: ProxyBlocks;
    /** Of the admin role; null: it has none. */
    explainToken: string | null;
    snapshot: SnapshotSpec;
    /** Null where `tls.enabled` is off. */
    keys: CertificateKeys | null;
    /** Null where there is no traffic log. The port is transferred. */
    writer: WriterConnection | null;
  }
  /** Send record batches here from now on; the port is transferred. */
  | { type: "connect_writer"; connection: WriterConnection }
  /** Build everything the new generation needs, open its listener, change nothing yet. */
  | { type: "prepare"; snapshot: SnapshotSpec; keys: CertificateKeys | null }
  /** Use the prepared generation from now on. */
  | { type: "commit"; generation: number }
  /** Another thread could not prepare it: forget it. */
  | { type: "discard"; generation: number }
  /** Say what would become of a request; answered by `explained` with the same id. */
  | { type: "explain"; id: number; question: ExplainQuestion }
  /** Use these certificates for new connections: files have changed, the configuration has not. */
  | { type: "renew_certificates"; keys: CertificateKeys }
  /** All threads have this configuration now: close the WebSockets that have no place in it. */
  | { type: "close_unrouted"; domains: DomainsConfig; targets: TargetConfig[] }
  /** Finish what is in flight, for at most so long, then record no more and answer `recording_stopped`. */
  | { type: "stop_recording"; withinMs: number }
  /** Close the listeners, let what is in flight go on for as long as it likes, then say `left`. */
  | { type: "leave" }
  /**
   * Accept connections for `delayMs` more, then close the listeners and the WebSockets, end after `timeoutMs`
   * what is still in flight, answer `drained`.
   */
  | { type: "drain"; delayMs: number; timeoutMs: number };

/** One proxy thread's line to the writer: batches go through the port, the account says what became of them. */
export interface WriterConnection {
  port: MessagePort;
  /** Of `QueueAccount.BYTES`. */
  account: SharedArrayBuffer;
}

/** Proxy thread to control thread. */
export type FromProxy =
  | { type: "started" }
  | { type: "start_failed"; reason: "bind" | "internal"; message: string }
  | { type: "prepared"; generation: number }
  | { type: "refused"; generation: number; reason: "bind" | "internal"; message: string }
  | { type: "committed"; generation: number }
  | { type: "recording_stopped" }
  | { type: "left" }
  | { type: "drained" }
  | Explained
  | SharedFromThread;

/** Answer to `explain`. */
export type Explained =
  | { type: "explained"; id: number; explanation: Explanation }
  | { type: "not_explained"; id: number; message: string };

/** Control thread to writer thread. */
export type ToWriter =
  | {
    type: "open";
    logging: LoggingConfig;
    bucketsMs: Record<string, number[]>;
    queue: SharedArrayBuffer;
    cells: SharedArrayBuffer;
  }
  /** One proxy thread's line of batches. */
  | { type: "connect"; port: MessagePort; account: SharedArrayBuffer }
  | { type: "reconfigure"; logging: LoggingConfig }
  /** Send records here too, at most so many a second; 0: none. */
  | { type: "tap"; recordsPerSecond: number }
  /** Write all there is, then answer `closed`. */
  | { type: "close" };

/** Writer thread to control thread. */
export type FromWriter =
  | { type: "opened" }
  | { type: "open_failed"; message: string }
  | { type: "reconfigured" }
  | { type: "reconfigure_failed"; message: string }
  | { type: "closed" }
  /** Some of the records that were written, and how many others there were since the last such message. */
  | { type: "tapped"; lines: string; skipped: number }
  | SharedFromThread;

/** Control thread to query thread: one question in its life. */
export interface ToQuery {
  logging: LoggingConfig;
  question: TrafficQuestion;
}

/** Query thread to control thread. */
export type FromQuery = TrafficAnswer;

/** What every thread tells the control thread. */
export type SharedFromThread =
  | { type: "series"; series: SeriesAnnouncement }
  | { type: "log"; level: LogLevel; message: string; fields?: LogFields };
