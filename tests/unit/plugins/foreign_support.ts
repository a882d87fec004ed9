/** What the tests of plugins that run foreign code share. */
import assert from "node:assert/strict";
import type * as z from "zod";
import {
  type Plugin,
  PluginError,
  type PluginErrorKind,
  type PluginType,
} from "../../../src/plugins/plugin.ts";
import { requestMessage } from "../../support/messages.ts";

export interface LogLine {
  level: string;
  message: string;
  fields: Record<string, unknown> | undefined;
}

/** A plugin made from settings as they stand in the file, with what it told its surroundings. */
export class Foreign implements AsyncDisposable {
  readonly lines: LogLine[] = [];
  readonly runs: number[] = [];
  readonly failures: PluginErrorKind[] = [];
  #plugin: Plugin | null = null;

  static async open<Schema extends z.ZodType>(
    type: PluginType<z.output<Schema>>,
    schema: Schema,
    settings: z.input<Schema>,
  ): Promise<Foreign> {
    const checked = schema.parse(settings);
    const bytes = type.sharedBytes?.(checked) ?? 0;
    const foreign = new Foreign();
    foreign.#plugin = await type.create(checked, {
      name: "p",
      shared: bytes === 0 ? null : new SharedArrayBuffer(bytes),
      log: (level, message, fields) => foreign.lines.push({ level, message, fields }),
      commandMetrics: {
        ran: (durationMs) => foreign.runs.push(durationMs),
        failed: (kind) => foreign.failures.push(kind),
      },
    });
    return foreign;
  }

  get plugin(): Plugin {
    assert.ok(this.#plugin);
    return this.#plugin;
  }

  /** Runs the request method on a request with these fields. @returns its fields afterwards */
  async headers(headers: string[] = []): Promise<string[]> {
    const request = requestMessage({ headers });
    assert.equal(await this.request(request), null);
    return request.headers;
  }

  request(request = requestMessage()) {
    assert.ok(this.plugin.onRequest);
    return this.plugin.onRequest(request);
  }

  /** Asserts that a request fails, with this kind. @returns the message */
  async failure(kind: PluginErrorKind, request = requestMessage()): Promise<string> {
    const before = JSON.stringify(request);
    const fault = await failureOf(this.request(request));
    assert.deepEqual({ kind: fault.kind, message: fault.message }, { kind, message: fault.message });
    assert.equal(JSON.stringify(request), before, "a failed call changes nothing");
    return fault.message;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#plugin?.dispose?.();
  }
}

export async function failureOf(result: unknown): Promise<PluginError> {
  try {
    await result;
  } catch (fault) {
    assert.ok(fault instanceof PluginError, `wanted a PluginError, found ${String(fault)}`);
    return fault;
  }
  assert.fail("wanted a PluginError, found none");
}

/** Runs `body` with a folder of its own that is gone afterwards. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-plugins-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
