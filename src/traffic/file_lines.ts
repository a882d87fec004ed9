/** Whole lines out of large files, a part at a time. Lines that are still being written are left for later. */

import { wholeLinesLength } from "./batch.ts";

const BLOCK_BYTES = 1024 * 1024;
/** Room for the rest of a line, in most cases. */
const LINE_BYTES = 16 * 1024;
const NEWLINE = 10;

/** The file's lines in parts of about a mebibyte, the last part of the file first. */
export function* partsBackward(path: string): Generator<string> {
  using file = Deno.openSync(path);
  const decoder = new TextDecoder();
  let position = file.statSync().size;
  /** The end of a line whose beginning is in the block before. */
  let rest = new Uint8Array();
  let isEnd = true;
  // One for all parts: clearing a new mebibyte for each takes as long as reading it.
  let buffer = new Uint8Array(BLOCK_BYTES);
  while (position > 0) {
    const length = Math.min(BLOCK_BYTES, position);
    position -= length;
    if (buffer.length < length + rest.length) buffer = new Uint8Array(2 * (length + rest.length));
    const block = buffer.subarray(0, length + rest.length);
    // Where somebody has cut the file, what is missing reads as an unfinished line.
    block.fill(0, readAt(file, position, block.subarray(0, length)), length);
    block.set(rest, length);
    // Only the file's very end may lack its newline.
    const end = isEnd ? wholeLinesLength(block) : block.length;
    if (end > 0) isEnd = false;
    const start = position === 0 ? 0 : block.indexOf(NEWLINE) + 1;
    if (start > 0 || position === 0) {
      if (end > start) yield decoder.decode(block.subarray(start, end));
      rest = block.slice(0, Math.min(start, end));
    } else {
      rest = block.slice();
    }
  }
}

/** The lines that begin at `from` or later and before `to`, in parts; returns where they end. */
export function* partsForward(path: string, from: number, to = Infinity): Generator<string, number> {
  using file = Deno.openSync(path);
  const size = file.statSync().size;
  const decoder = new TextDecoder();
  let buffer = new Uint8Array(BLOCK_BYTES);
  let position = from;
  for (let length = BLOCK_BYTES; position < Math.min(size, to);) {
    if (buffer.length < length) buffer = new Uint8Array(length);
    const block = buffer.subarray(0, Math.min(length, size - position));
    const read = readAt(file, position, block);
    let end = wholeLinesLength(block.subarray(0, read));
    if (position + end > to) end = block.indexOf(NEWLINE, to - position - 1) + 1;
    if (end > 0) {
      yield decoder.decode(block.subarray(0, end));
      position += end;
      length = BLOCK_BYTES;
    } else if (read < length) {
      break;
    } else {
      length *= 2;
    }
  }
  return position;
}

/** Where the first line begins that does so at `from` or later; the file's end if there is none. */
export function lineStart(path: string, from: number): number {
  if (from === 0) return 0;
  using file = Deno.openSync(path);
  // The line that begins at `from` follows a newline.
  const { length, isWhole } = lineLength(file, from - 1);
  return isWhole ? from + length : from - 1 + length;
}

/** The first line that begins at `from` or later, without its newline; "" if there is none. */
export function firstLine(path: string, from: number): string {
  const start = lineStart(path, from);
  using file = Deno.openSync(path);
  const { length, isWhole } = lineLength(file, start);
  if (!isWhole) return "";
  const line = new Uint8Array(length);
  return new TextDecoder().decode(line.subarray(0, readAt(file, start, line)));
}

/** Bytes up to the next newline, or to the file's end. */
function lineLength(file: Deno.FsFile, from: number): { length: number; isWhole: boolean } {
  const block = new Uint8Array(LINE_BYTES);
  for (let length = 0;;) {
    const read = readAt(file, from + length, block);
    const newline = block.subarray(0, read).indexOf(NEWLINE);
    if (newline !== -1) return { length: length + newline, isWhole: true };
    length += read;
    if (read < block.length) return { length, isWhole: false };
  }
}

/** Fills the bytes and returns how many there were: less than asked for where somebody has cut the file. */
function readAt(file: Deno.FsFile, position: number, into: Uint8Array): number {
  file.seekSync(position, Deno.SeekMode.Start);
  let read = 0;
  while (read < into.length) {
    const count = file.readSync(into.subarray(read));
    if (count === null) break;
    read += count;
  }
  return read;
}
