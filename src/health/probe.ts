/** One health check: asks a target and says what is wrong with it, if anything. */
import type { TargetConfig } from "../config/model.ts";

/** Asked in turn where no path is configured; 404 means "try the next" (DESIGN 6). */
export const USUAL_PATHS = ["/health", "/healthz", "/ping", "/"];

/** Of an answer's body so much is read, so that its connection can be used again; more is cut off. */
const MAX_BODY_BYTES = 65536;

export interface ProbeOptions {
  target: TargetConfig;
  /** Null: the usual paths. */
  path: string | null;
  /** Index of the usual path to begin with. */
  firstUsualPath: number;
  /** For the whole probe, all paths it tries included. */
  timeoutMs: number;
  userAgent: string;
  client: Deno.HttpClient;
  signal: AbortSignal;
}

export interface ProbeResult {
  /** Null: healthy. */
  error: string | null;
  /** Index of the usual path that answered. */
  usualPath: number;
}

/** Never rejects: what goes wrong is the result. */
export async function probe(options: ProbeOptions): Promise<ProbeResult> {
  const { path, firstUsualPath, timeoutMs } = options;
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  const signal = AbortSignal.any([options.signal, timeout.signal]);
  try {
    if (path !== null) {
      return { error: judge(path, await ask(options, path, signal)), usualPath: firstUsualPath };
    }
    for (let tried = 0; tried < USUAL_PATHS.length; tried++) {
      const index = (firstUsualPath + tried) % USUAL_PATHS.length;
      const status = await ask(options, USUAL_PATHS[index], signal);
      if (status !== 404) return { error: judge(USUAL_PATHS[index], status), usualPath: index };
    }
    return { error: `status 404 for each of ${USUAL_PATHS.join(", ")}`, usualPath: 0 };
  } catch (fault) {
    const error = timeout.signal.aborted ? `no answer within ${timeoutMs} ms` : causeOf(fault);
    return { error, usualPath: firstUsualPath };
  } finally {
    clearTimeout(timer);
  }
}

function judge(path: string, status: number): string | null {
  return status >= 200 && status <= 399 ? null : `status ${status} for ${path}`;
}

/** @returns the status; the body is read or cut off */
async function ask(options: ProbeOptions, path: string, signal: AbortSignal): Promise<number> {
  const { target, client, userAgent } = options;
  const host = target.hostname.includes(":") ? `[${target.hostname}]` : target.hostname;
  const response = await fetch(`${target.protocol}://${host}:${target.port}${target.basePath}${path}`, {
    client,
    signal,
    redirect: "manual",
    headers: { "user-agent": userAgent, "accept": "*/*" },
  });
  await drain(response.body);
  return response.status;
}

async function drain(body: ReadableStream<Uint8Array> | null): Promise<void> {
  if (body === null) return;
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    // Leaving the loop cancels the body.
    if (bytes > MAX_BODY_BYTES) return;
  }
}

/** `fetch` tells what happened in the error's message or in that of its cause, behind the address. */
function causeOf(fault: unknown): string {
  const parts: string[] = [];
  for (let error: unknown = fault; error instanceof Error && parts.length < 5; error = error.cause) {
    parts.push(error.message);
  }
  const message = parts.length === 0 ? String(fault) : parts.join(": ");
  return /client error \(\w+\): (.*)$/s.exec(message)?.[1] ?? message;
}
