/** A private Redis server for tests, on a port of its own, that keeps nothing on disk. */

import { freePort } from "./ports.ts";
import { requires } from "./skip.ts";

const SERVER = "/usr/bin/redis-server";

/** For `Deno.test`: tests are skipped, and say so, on a machine without Redis. */
export function requiresRedis(): { ignore: boolean } {
  return requires("Redis's server", SERVER);
}

export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  /** With the password in it. */
  readonly url: string;
  start(): Promise<void>;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Stops or continues its process, which then neither answers nor closes connections. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  /** Sends a command to it and returns the answer's lines. */
  command(...words: string[]): Promise<string>;
}

export async function startRedis(): Promise<RedisServer> {
  const port = freePort();
  const password = "s3cr3t/+";
  let server: Deno.ChildProcess | null = null;
  const redis: RedisServer = {
    port,
    url: `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}/3`,
    async start() {
      server = new Deno.Command(SERVER, {
        args: [
          ...["--port", String(port), "--bind", "127.0.0.1", "--requirepass", password],
          ...["--save", "", "--appendonly", "no", "--dir", "/", "--enable-debug-command", "yes"],
        ],
        stdin: "null",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      await lineWith(server.stdout, "Ready to accept connections");
    },
    async kill() {
      if (server === null) return;
      server.kill("SIGKILL");
      await server.status;
      server = null;
    },
    signal(signal) {
      server?.kill(signal);
    },
    async command(...words) {
      const { success, stdout } = await new Deno.Command("/usr/bin/redis-cli", {
        args: ["-h", "127.0.0.1", "-p", String(port), "-n", "3", "-e", ...words],
        env: { REDISCLI_AUTH: password },
        stderr: "inherit",
      }).output();
      if (!success) throw new Error(`redis-cli ${words.join(" ")} failed`);
      return new TextDecoder().decode(stdout).trim();
    },
    [Symbol.asyncDispose]: () => redis.kill(),
  };
  await redis.start();
  return redis;
}

/** Reads until a line has the text, then lets the rest go by: a full pipe would stop the server. */
async function lineWith(stream: ReadableStream<Uint8Array<ArrayBuffer>>, wanted: string): Promise<void> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes(wanted)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the server ended before it said "${wanted}": ${seen}`);
    seen += value;
  }
  await reader.cancel();
}
