/** Requests to an upstream, and what comes of them. */
import type { TargetConfig } from "../../src/config/model.ts";
import {
  AbortHandle,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "../../src/upstream/transport.ts";
import { bytesOf, textOfBytes } from "./bytes.ts";

export function targetAt(port: number, more: Partial<TargetConfig> = {}): TargetConfig {
  return {
    name: "backend",
    url: `http://127.0.0.1:${port}`,
    protocol: "http",
    hostname: "127.0.0.1",
    port,
    basePath: "",
    group: null,
    weight: 1,
    timeoutMs: null,
    maxConnections: null,
    backup: false,
    ...more,
  };
}

export function requestTo(target: TargetConfig, more: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    target,
    method: "GET",
    path: "/",
    headers: ["host", "example.com"],
    body: null,
    bodyLength: null,
    abort: new AbortHandle(),
    observer: { requestBytes() {}, responseBytes() {}, responseEnded() {} },
    connectTimeoutMs: 5000,
    timeoutMs: 5000,
    ...more,
  };
}

/** A POST whose whole body is there at once. */
export function postTo(
  target: TargetConfig,
  body: string,
  more: Partial<UpstreamRequest> = {},
): UpstreamRequest {
  return requestTo(target, { method: "POST", body: streamOf(body), bodyLength: body.length, ...more });
}

export function streamOf(...chunks: string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks.map(bytesOf));
}

/** The body as latin-1 text, read to its end; "" for none. */
export async function textOf({ body }: UpstreamResponse): Promise<string> {
  if (body === null) return "";
  if (body instanceof Uint8Array) return textOfBytes(body);
  let text = "";
  for await (const chunk of body) text += textOfBytes(chunk);
  return text;
}

/** The error of something that must fail with an UpstreamError. */
export async function failureOf(promise: Promise<unknown>): Promise<UpstreamError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (error instanceof UpstreamError) return error;
    throw error;
  }
  throw new Error(`wanted an UpstreamError, got ${Deno.inspect(value)}`);
}
