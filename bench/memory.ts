/** What idle client connections and a large body to a slow reader do to a proxy's memory. */
import { delay } from "./delay.ts";
import { highestResidentMb, residentMb, settle } from "./proc_stats.ts";
import { RawClient } from "./raw_client.ts";
import { LARGE_PATH } from "./upstream.ts";

/** Opened first and not counted: what the first ones cost is mostly paid once. */
const FIRST_CONNECTIONS = 200;
const COUNTED_CONNECTIONS = 1_000;

/** kB (of 1024 bytes) of resident memory for each client connection that has made one request and now idles. */
export async function kbPerIdleConnection(pid: number, port: number): Promise<number> {
  const clients: RawClient[] = [];
  const open = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const client = await RawClient.connect(port);
      clients.push(client);
      await client.get("/64");
    }
    await settle(pid);
    return residentMb(pid);
  };
  try {
    const before = await open(FIRST_CONNECTIONS);
    const after = await open(COUNTED_CONNECTIONS);
    return (after - before) * 1024 / COUNTED_CONNECTIONS;
  } finally {
    for (const client of clients) client.close();
  }
}

/** The reader takes nothing at first, so that every buffer on the way fills. */
const STALL_MS = 2_000;
const READ_BYTES_PER_MS = 64 * 1048576 / 1000;

/** How many MB the process grows by while a reader takes the large body at 64 MiB a second. */
export async function growthForSlowReaderMb(pid: number, port: number): Promise<number> {
  await settle(pid);
  const before = residentMb(pid);
  const client = await RawClient.connect(port);
  try {
    const { highestMb } = await highestResidentMb(pid, async () => {
      const { bodyBytes } = await client.open(LARGE_PATH);
      await delay(STALL_MS);
      const startedAt = performance.now();
      for (let taken = 0; taken < bodyBytes;) {
        taken += await client.read(bodyBytes - taken);
        const aheadMs = taken / READ_BYTES_PER_MS - (performance.now() - startedAt);
        if (aheadMs > 5) await delay(aheadMs);
      }
    });
    return highestMb - before;
  } finally {
    client.close();
  }
}
