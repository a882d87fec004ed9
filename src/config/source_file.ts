/** Reading the configuration file: bounded, and with words for everything that can go wrong. */

export const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

export type FileText = { ok: true; text: string } | { ok: false; line: number | null; message: string };

/** @returns the file's text without a byte order mark, or why there is none; never throws */
export async function readConfigText(path: string): Promise<FileText> {
  let bytes: Uint8Array | null;
  try {
    using file = await Deno.open(path, { read: true });
    if ((await file.stat()).isDirectory) return failure("found a directory, wanted a TOML file");
    bytes = await readAtMost(file, MAX_CONFIG_BYTES);
  } catch (error) {
    return failure(`cannot read the configuration file: ${reasonOf(error, path)}`);
  }
  if (bytes === null) {
    return failure(`larger than ${MAX_CONFIG_BYTES} bytes, which is the most a configuration file may have`);
  }
  if (startsWith(bytes, 0xff, 0xfe) || startsWith(bytes, 0xfe, 0xff)) {
    return failure("the text is UTF-16, wanted UTF-8: save the file in that encoding");
  }
  if (bytes.includes(0)) return failure("found binary data, wanted a TOML file in UTF-8");
  try {
    return { ok: true, text: decode(bytes) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { ...failure("not valid UTF-8, wanted a TOML file in UTF-8"), line: firstBadLine(bytes) };
  }
}

function failure(message: string): { ok: false; line: number | null; message: string } {
  return { ok: false, line: null, message };
}

function reasonOf(error: unknown, path: string): string {
  if (error instanceof Deno.errors.NotFound) return `there is no such file, "dispa init ${path}" writes one`;
  if (error instanceof Deno.errors.IsADirectory) return "it is a directory";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  return error instanceof Error ? error.message : String(error);
}

/** Not by the size that stat tells: devices and pipes have none. */
async function readAtMost(file: Deno.FsFile, maximum: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of file.readable.values({ preventCancel: true })) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maximum) return null;
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function startsWith(bytes: Uint8Array, ...start: number[]): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}

/** Drops a byte order mark; throws TypeError for bytes that are not UTF-8. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

function firstBadLine(bytes: Uint8Array): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline === -1 ? bytes.length : newline + 1;
    try {
      decode(bytes.subarray(start, end));
    } catch (_error) {
      return line;
    }
    start = end;
  }
  return line;
}
