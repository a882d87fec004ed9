/** Requests at a fixed rate, whatever the server does: a slow answer delays no later request. */
import { delay } from "./delay.ts";
import { RawClient } from "./raw_client.ts";

export interface Latencies {
  p50Ms: number;
  p99Ms: number;
}

/** Opened before the clock starts; more are opened where all are waiting for an answer. */
const FIRST_CONNECTIONS = 16;

export async function runOpenLoop(
  port: number,
  path: string,
  requestsPerSecond: number,
  seconds: number,
): Promise<Latencies> {
  const total = Math.round(requestsPerSecond * seconds);
  const latenciesMs: number[] = [];
  const clients: RawClient[] = [];
  const idle: RawClient[] = [];
  const connect = async () => {
    const client = await RawClient.connect(port);
    clients.push(client);
    return client;
  };
  const send = async () => {
    // From here, not from the millisecond it was due: how late this process's own timer comes is not the
    // server's doing. Nothing else here waits for the server.
    const sentAt = performance.now();
    const client = idle.pop() ?? await connect();
    await client.get(path);
    latenciesMs.push(performance.now() - sentAt);
    idle.push(client);
  };
  try {
    for (let i = 0; i < FIRST_CONNECTIONS; i++) idle.push(await connect());
    // The first request on a connection makes the proxy open one to the upstream.
    await Promise.all(idle.map((client) => client.get(path)));
    const answers: Promise<void>[] = [];
    const startedAt = performance.now();
    while (answers.length < total) {
      const due = Math.min(total, Math.floor((performance.now() - startedAt) * requestsPerSecond / 1000));
      while (answers.length < due) answers.push(send());
      await delay(1);
    }
    await Promise.all(answers);
  } finally {
    for (const client of clients) client.close();
  }
  latenciesMs.sort((a, b) => a - b);
  const percentile = (share: number) => latenciesMs[Math.min(total - 1, Math.floor(total * share))];
  return { p50Ms: percentile(0.5), p99Ms: percentile(0.99) };
}
