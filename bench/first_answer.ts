/** When a server that was just started serves. */
import { delay } from "./delay.ts";
import { RawClient } from "./raw_client.ts";
import type { BenchProcess } from "./workshop.ts";

const START_TIMEOUT_MS = 20_000;

/** Waits until the process answers `path` with 200; returns how long that took. */
export async function firstAnswer(process: BenchProcess, port: number, path: string): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    try {
      const client = await RawClient.connect(port);
      try {
        await client.get(path);
        return performance.now() - startedAt;
      } finally {
        client.close();
      }
    } catch (fault) {
      if (process.ended) throw new Error(`ended before it served: ${process.lastOutput()}`);
      if (performance.now() - startedAt > START_TIMEOUT_MS) {
        throw new Error(`does not serve after ${START_TIMEOUT_MS} ms (${fault}): ${process.lastOutput()}`);
      }
      await delay(2);
    }
  }
}
