/** The server behind every proxy: nginx with files of known content, and an echo to prove that bodies arrive. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { freePort } from "../tests/support/ports.ts";
import { firstAnswer } from "./first_answer.ts";
import { NGINX_COMMON } from "./nginx.ts";
import type { Workshop } from "./workshop.ts";

/** Answers of a known size, by path. */
export const FILES = { "/64": 64, "/64k": 65_536, "/1m": 1_048_576 } as const;

/** Path of the large answer: zeros, as many as asked for. */
export const LARGE_PATH = "/large";

/** Answers 200 to any request after reading its body. */
export const POST_PATH = "/post";

/** Answers with the length and the SHA-256 of the request's body. */
export const ECHO_PATH = "/echo";

export interface Upstream {
  port: number;
}

export function fileContent(bytes: number): string {
  return "0123456789abcde\n".repeat(bytes / 16);
}

export function echoOf(body: Uint8Array | string): string {
  return `${body.length} ${createHash("sha256").update(body).digest("hex")}`;
}

export async function startUpstream(workshop: Workshop, largeBytes: number): Promise<Upstream> {
  const folder = workshop.folder("upstream");
  const files = join(folder, "files");
  await Deno.mkdir(files);
  for (const [path, bytes] of Object.entries(FILES)) {
    await Deno.writeTextFile(files + path, fileContent(bytes));
  }
  // A hole takes no disk.
  await Deno.writeTextFile(files + LARGE_PATH, "");
  await Deno.truncate(files + LARGE_PATH, largeBytes);

  const echo = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => undefined }, async (request) => {
    return new Response(echoOf(await request.bytes()));
  });
  workshop.defer(() => echo.shutdown());

  const port = freePort();
  const config = `${NGINX_COMMON}
http {
  access_log off; sendfile on; open_file_cache max=16; keepalive_requests 100000000; keepalive_timeout 3600;
  client_max_body_size 0; client_body_buffer_size 1m;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${files};
    location = /health { return 200 "ok"; }
    location = ${POST_PATH} { return 200 "taken"; }
    location = ${ECHO_PATH} { proxy_pass http://127.0.0.1:${echo.addr.port}; }
  }
}`;
  await Deno.writeTextFile(join(folder, "nginx.conf"), config);
  const process = workshop.spawn(folder, "nginx", ["-p", folder, "-e", "error.log", "-c", "nginx.conf"]);
  await firstAnswer(process, port, "/health");
  return { port };
}
