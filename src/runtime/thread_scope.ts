/** The inside of a thread: its global scope, typed by the messages it takes and sends. */

export interface ThreadScope<In, Out> {
  onmessage: ((event: MessageEvent<In>) => void) | null;
  postMessage(message: Out): void;
  /** Ends the thread when what runs now has run. */
  close(): void;
}

/** The thread's own scope. Call it from a thread's entry point only. */
export function threadScope<In, Out>(): ThreadScope<In, Out> {
  return globalThis as unknown as ThreadScope<In, Out>;
}
