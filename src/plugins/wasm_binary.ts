/** The binary form of WebAssembly, as far as the limit of a module's memory needs it (core specification 5.5). */

const PAGE_BYTES = 65_536;
/** Magic number and version 1. */
const PREAMBLE = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const MEMORY_SECTION = 5;

/**
 * The module with its memory limited: the engine then refuses to grow it further. There is no other way to bound a
 * memory that a module makes itself, except to look at it when it is too late.
 * @throws Error that says why the module cannot be used
 */
export function limitMemory(
  binary: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  if (!PREAMBLE.every((byte, index) => binary[index] === byte)) {
    throw new Error("not a WebAssembly module: found another beginning than that of version 1");
  }
  let at = PREAMBLE.length;
  while (at < binary.length) {
    const id = binary[at];
    const size = readUnsigned(binary, at + 1);
    const end = size.next + size.value;
    if (end > binary.length) throw new Error("not a WebAssembly module: it ends inside a section");
    if (id === MEMORY_SECTION) {
      const content = limitedSection(binary, size.next, Math.floor(maxBytes / PAGE_BYTES));
      const header = [MEMORY_SECTION, ...unsigned(content.length)];
      return join([binary.subarray(0, at), header, content, binary.subarray(end)]);
    }
    at = end;
  }
  throw new Error("the module has no memory of its own, wanted one that it exports as memory");
}

/** A memory: count, flags (1: has a maximum), minimum, maximum; in pages. */
function limitedSection(binary: Uint8Array, start: number, maxPages: number): number[] {
  const count = readUnsigned(binary, start);
  if (count.value !== 1) throw new Error(`the module has ${count.value} memories, wanted one`);
  const flags = binary[count.next];
  if (flags !== 0 && flags !== 1) {
    throw new Error("the module's memory is shared or has 64-bit addresses, wanted a plain one");
  }
  const minimum = readUnsigned(binary, count.next + 1);
  if (minimum.value > maxPages) {
    throw new Error(
      `the module wants ${minimum.value * PAGE_BYTES} bytes of memory from the start, ` +
        `memory_max_bytes allows ${maxPages * PAGE_BYTES}`,
    );
  }
  const declared = flags === 1 ? readUnsigned(binary, minimum.next).value : maxPages;
  return [1, 1, ...unsigned(minimum.value), ...unsigned(Math.min(declared, maxPages))];
}

/** LEB128 (core specification 5.2.2). */
function readUnsigned(binary: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = binary[at + i];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, next: at + i + 1 };
  }
  throw new Error("not a WebAssembly module: found a number that does not end");
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (;;) {
    const rest = Math.floor(value / 128);
    if (rest === 0) return [...bytes, value];
    bytes.push(value % 128 + 128);
    value = rest;
  }
}

function join(parts: ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
