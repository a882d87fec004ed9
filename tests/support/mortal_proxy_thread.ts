/** A proxy thread that dies or pauses when it is told to on the channel "mortal", for tests of what follows. */
import "../../src/runtime/proxy_thread.ts";

const scope = globalThis as unknown as { name: string; postMessage(message: unknown): void };
const channel = new BroadcastChannel("mortal");
const PAUSE_MS = 1500;

channel.onmessage = (event: MessageEvent<{ thread: string; how: "throw" | "pause" }>) => {
  if (event.data.thread !== scope.name) return;
  if (event.data.how === "pause") {
    const end = performance.now() + PAUSE_MS;
    while (performance.now() < end);
    scope.postMessage({ type: "log", level: "info", message: "woke up" });
    return;
  }
  // Outside of any handler: nobody catches it.
  setTimeout(() => {
    throw new Error("told to die");
  }, 0);
};
