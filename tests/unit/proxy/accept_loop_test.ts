import assert from "node:assert/strict";
import { AcceptLoop } from "../../../src/proxy/accept_loop.ts";
import { nextTurn } from "../../support/event_loop.ts";

/** A socket whose every accept ends as the test says. */
class FakeSocket {
  outcomes: (string | Error)[];
  closed = false;
  #pending: PromiseWithResolvers<string> | null = null;

  constructor(...outcomes: (string | Error)[]) {
    this.outcomes = outcomes;
  }

  accept(): Promise<string> {
    const outcome = this.outcomes.shift();
    if (outcome === undefined) return (this.#pending = Promise.withResolvers<string>()).promise;
    return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome);
  }

  /** After all that was there at first. */
  after(...outcomes: (string | Error)[]): void {
    this.outcomes = outcomes.slice(1);
    const [next] = outcomes;
    if (next instanceof Error) this.#pending?.reject(next);
    else this.#pending?.resolve(next);
  }

  close(): void {
    this.closed = true;
    this.#pending?.reject(new Deno.errors.BadResource("closed"));
  }
}

function run(socket: FakeSocket, last: string, calmMs = 0) {
  const log: string[] = [];
  const reached = Promise.withResolvers<void>();
  const events = {
    onConnection: (name: string) => {
      log.push(name);
      if (name === last) reached.resolve();
    },
    onFailure: (fault: unknown, first: boolean) =>
      log.push(`${first ? "first " : ""}${(fault as Error).message}`),
    onRecovery: () => {
      log.push("recovered");
      if (last === "recovered") reached.resolve();
    },
  };
  const loop = new AcceptLoop<string>(socket, events, calmMs);
  return { log, loop, reached: reached.promise };
}

const FULL = new Error("Too many open files");

Deno.test("failures are told of, the first one as such, and the end of them", async () => {
  const socket = new FakeSocket("a", FULL, FULL, "b");
  const { log, loop, reached } = run(socket, "recovered");
  await reached;
  assert.deepEqual(log.splice(0), [
    "a",
    "first Too many open files",
    "Too many open files",
    "b",
    "recovered",
  ]);
  socket.after(FULL, "c");
  while (!log.includes("c")) await nextTurn();
  loop.close();
  assert.deepEqual(log, ["first Too many open files", "c"]);
});

Deno.test("one connection that is accepted between failures is no recovery", async () => {
  const socket = new FakeSocket(FULL, "a", FULL, "b", FULL, "c");
  const { log, loop, reached } = run(socket, "c", 60_000);
  await reached;
  loop.close();
  assert.deepEqual(log, [
    "first Too many open files",
    "a",
    "Too many open files",
    "b",
    "Too many open files",
    "c",
  ]);
});

Deno.test("a client that left before it was accepted is no failure", async () => {
  const socket = new FakeSocket(new Deno.errors.ConnectionAborted("gone"), "a");
  const { log, loop, reached } = run(socket, "a");
  await reached;
  loop.close();
  assert.deepEqual(log, ["a"]);
});

Deno.test("closing ends the loop, also in a pause after a failure", async () => {
  const socket = new FakeSocket("a");
  const { log, loop, reached } = run(socket, "a");
  await reached;
  loop.close();
  loop.close();
  assert.equal(socket.closed, true);
  assert.deepEqual(log, ["a"]);
  const failing = new FakeSocket("a", new Error("no"), "b");
  const second = run(failing, "a");
  await second.reached;
  second.loop.close();
  await second.loop.ended;
  assert.deepEqual(second.log.filter((line) => line === "b"), []);
});

Deno.test("a connection that is accepted while the loop is closed is not lost", async () => {
  const accepted = Promise.withResolvers<string>();
  const log: string[] = [];
  const loop = new AcceptLoop<string>({ accept: () => accepted.promise, close() {} }, {
    onConnection: (name) => log.push(name),
    onFailure: (fault) => log.push(String(fault)),
    onRecovery: () => {},
  });
  accepted.resolve("last");
  loop.close();
  await loop.ended;
  assert.deepEqual(log, ["last"]);
});

Deno.test("a drain takes the connections that wait behind the next one, and closes before it passes any on", async () => {
  const log: string[] = [];
  const arrival = Promise.withResolvers<string>();
  const queue = [arrival.promise, Promise.resolve("b"), Promise.resolve("c")];
  const never = Promise.withResolvers<string>();
  const socket = {
    accept: () => queue.shift() ?? never.promise,
    close: () => {
      log.push("closed");
      never.reject(new Deno.errors.BadResource("closed"));
    },
  };
  const loop = new AcceptLoop<string>(socket, {
    onConnection: (name) => log.push(name),
    onFailure: (fault) => log.push(String(fault)),
    onRecovery: () => log.push("recovered"),
  });
  const ended = loop.drain(0);
  // Its time is up, and it waits for a connection.
  await new Promise((resolve) => setTimeout(resolve, 5));
  arrival.resolve("a");
  await ended;
  assert.deepEqual(log, ["closed", "a", "b", "c"]);
});

Deno.test("a drain goes on for its time, and ends without a connection where none comes", async () => {
  const socket = new FakeSocket("a", "b");
  const { log, loop, reached } = run(socket, "b");
  const ended = loop.drain(20);
  assert.equal(socket.closed, false);
  await reached;
  await ended;
  assert.deepEqual([log, socket.closed], [["a", "b"], true]);
});
