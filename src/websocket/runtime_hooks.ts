/**
 * What the runtime's WebSocket can do but does not offer: hold back reading, so that a client cannot fill our
 * memory, end a connection without a handshake, and survive the end of the HTTP connection it came from.
 * Internals of Deno 2.6 to 2.9, looked for each time: where they are missing, null says so and callers do
 * without. `tests/unit/websocket/runtime_hooks_test.ts` fails on a runtime that has lost them.
 */

type Keyed = Record<PropertyKey, unknown>;

interface Core {
  tryClose(resource: number): void;
  createCancelHandle(): number;
}

function core(): Core | null {
  const key = (Deno as unknown as { internal?: symbol }).internal;
  if (key === undefined) return null;
  const found = ((Deno as unknown as Keyed)[key] as { core?: Partial<Core> } | undefined)?.core;
  return typeof found?.tryClose === "function" && typeof found.createCancelHandle === "function"
    ? found as Core
    : null;
}

const { OPEN, CLOSED } = WebSocket;
/** Half of it is the longest a timer can be, or nearly (24.8 days), in seconds. */
const NEVER_S = 4_000_000;
const AT_ONCE_S = 0.001;

export interface SocketHooks {
  /**
   * Called by a listener for `message`, as the last thing of the last one: no message is read after this one
   * until `resume`. Pings of the client are not answered meanwhile, and ours not sent.
   */
  pause(): void;
  resume(): void;
  /** Begins to count the client's silence anew. */
  restartIdleTimeout(): void;
  /**
   * Ends the connection. On Deno 2.6 one that is being read from stays open, unread, until the client ends it.
   */
  destroy(): void;
}

/** @param socket from `Deno.upgradeWebSocket` @returns null if this runtime is another one */
export function socketHooks(socket: WebSocket): SocketHooks | null {
  const runtime = core();
  const symbols = {
    loop: symbolOf(socket, "[[eventLoop]]"),
    state: symbolOf(socket, "[[readyState]]"),
    resource: symbolOf(socket, "[[rid]]"),
    idleTimeout: symbolOf(socket, "[[idleTimeout]]"),
    restartIdleTimeout: symbolOf(socket, "[[serverHandleIdleTimeout]]"),
  };
  const { loop, state, resource, idleTimeout, restartIdleTimeout } = symbols;
  if (
    runtime === null || loop === null || state === null || resource === null || idleTimeout === null ||
    restartIdleTimeout === null
  ) return null;
  const target = socket as unknown as Keyed & Record<symbol, () => void>;
  if (typeof target[loop] !== "function" || typeof target[restartIdleTimeout] !== "function") return null;

  // The loop that reads looks at the state after each message and ends when that is CLOSED: telling it so
  // once, and starting it again later, is all there is to a pause.
  let readyState: unknown = target[state];
  let isLoopTold = false;
  let isPaused = false;
  Object.defineProperty(socket, state, {
    configurable: true,
    enumerable: true,
    get: () => {
      if (!isLoopTold) return readyState;
      isLoopTold = false;
      return CLOSED;
    },
    set: (value) => readyState = value,
  });
  const idleTimeoutS = (target as Keyed)[idleTimeout];
  const restartWith = (seconds: unknown) => {
    if (idleTimeoutS === 0) return;
    (target as Keyed)[idleTimeout] = seconds;
    target[restartIdleTimeout]();
  };
  const resume = () => {
    if (!isPaused) return;
    isPaused = false;
    // Also where the socket is closed: a timer that does nothing replaces the one that would never end.
    restartWith(readyState === OPEN ? idleTimeoutS : AT_ONCE_S);
    target[loop]();
  };
  return {
    pause: () => {
      isLoopTold = true;
      isPaused = true;
      // A pong would not be read either: nobody may be taken for dead because of it.
      restartWith(NEVER_S);
    },
    resume,
    restartIdleTimeout: () => {
      if (!isPaused && readyState === OPEN) restartWith(idleTimeoutS);
    },
    destroy: () => {
      const rid = (target as Keyed)[resource];
      if (typeof rid === "number") runtime.tryClose(rid);
      // What waits for the next message is told that there is none.
      resume();
    },
  };
}

function symbolOf(object: object, description: string): symbol | null {
  for (let at: object | null = object; at !== null; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertySymbols(at).find((symbol) => symbol.description === description);
    if (found !== undefined) return found;
  }
  return null;
}

/**
 * For accept loops on `serveHttpOnConnection`. Deno 2.9 counts a connection that has become a WebSocket as
 * finished, and a server that is finished closes its WebSockets with 1001: so each would end as it begins.
 * Call it at once after `serveHttpOnConnection`, before anything is awaited; the function it returns, called
 * when a WebSocket of that connection opens (`onOpen` of `acceptWebSocket`), takes the server away from under
 * its own end. It must not be called for a connection that still speaks HTTP: it would be cut. After it the
 * connection's signal must not be aborted: the runtime throws where nobody can catch it.
 * @returns null if this runtime has no such thing
 */
export function connectionRelease(): (() => void) | null {
  const runtime = core();
  if (runtime === null) return null;
  // Resources are numbered in order: the one before a new one is the server that has just been made.
  const marker = runtime.createCancelHandle();
  runtime.tryClose(marker);
  return () => runtime.tryClose(marker - 1);
}
