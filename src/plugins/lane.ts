/** A lane runs the calls of a plugin one after the other: a thread, or a program that is kept running. */
import type { PluginError, Stage } from "./plugin.ts";

export interface Call {
  readonly stage: Stage;
  /** JSON (`protocol.ts`). */
  readonly input: string;
}

/** What a lane tells the pool, never before its constructor has returned. */
export interface LaneEvents {
  /** It can take a call: it has started, or the call before is over. */
  onFree(): void;
  /**
   * It has ended by itself, or had to be ended, and takes no call any more.
   * @param gone resolves when nothing is left of it
   */
  onEnd(reason: PluginError, gone: Promise<unknown>): void;
}

export interface Lane {
  /**
   * Runs one call. Only for a lane that has said it is free.
   * @throws PluginError; within a bounded time
   */
  call(call: Call): Promise<string>;
  /** Ends it, whatever it does; resolves when nothing is left of it. No event follows. */
  end(): Promise<void>;
}
