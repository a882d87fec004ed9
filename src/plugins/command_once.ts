/** `mode = "once"`: one run of the program for each call. */
import type { CommandSettings } from "../config/plugins/command.ts";
import { PluginError } from "./plugin.ts";
import { ProcessGroup } from "./process_group.ts";

const encoder = new TextEncoder();

/**
 * Starts the program, gives it the input and returns what it writes.
 * @throws PluginError; then the program and what it has started are killed
 */
export async function runOnce(settings: CommandSettings, input: string): Promise<string> {
  const { timeout_ms: timeoutMs } = settings;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new PluginError("timeout", `the program did not end in ${timeoutMs} ms`)),
    timeoutMs,
  );
  let group: ProcessGroup | null = null;
  try {
    group = new ProcessGroup(settings);
    return await Promise.race([exchange(group, input, settings.max_output_bytes), late]);
  } catch (fault) {
    if (fault instanceof PluginError && (fault.kind === "timeout" || fault.kind === "too_large")) {
      group?.kill();
      // A call counts against max_concurrency for as long as its program lives.
      await group?.reaped();
    }
    throw fault;
  } finally {
    clearTimeout(timer);
    await group?.release();
  }
}

async function exchange(group: ProcessGroup, input: string, maxOutputBytes: number): Promise<string> {
  const [output] = await Promise.all([readAll(group, maxOutputBytes), feed(group, input)]);
  const { success } = await group.ended;
  if (!success) throw new PluginError("io", await group.obituary());
  return decodeOutput(output);
}

async function feed(group: ProcessGroup, input: string): Promise<void> {
  await group.write(encoder.encode(input));
  await group.closeInput();
}

async function readAll(group: ProcessGroup, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (let chunk = await group.read(); chunk !== null; chunk = await group.read()) {
    length += chunk.length;
    if (length > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  const output = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    output.set(chunk, at);
    at += chunk.length;
  }
  return output;
}

export function tooLarge(maxBytes: number): PluginError {
  return new PluginError("too_large", `the program wrote more than max_output_bytes, which is ${maxBytes}`);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws PluginError of the kind `bad_output` */
export function decodeOutput(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (fault) {
    throw new PluginError("bad_output", "the program's answer is not UTF-8", { cause: fault });
  }
}
