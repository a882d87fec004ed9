/** Whole lines out of large files, a part at a time. Lines that are still being written are left for later. */

import { wholeLinesLength } from "./batch.ts";

const BLOCK_BYTES = 1024 * 1024;
const NEWLINE = 10;

/** The file's lines in parts of about a mebibyte, the last part of the file first. */
export function* partsBackward(path: string): Generator<string> {
  using file = Deno.openSync(path);
  const decoder = new TextDecoder();
  let position = file.statSync().size;
  /** The end of a line whose beginning is in the block before. */
  let rest = new Uint8Array();
  let isEnd = true;
  while (position > 0) {
    const length = Math.min(BLOCK_BYTES, position);
    position -= length;
    const block = new Uint8Array(length + rest.length);
    readAt(file, position, block.subarray(0, length));
    block.set(rest, length);
    // Only the file's very end may lack its newline.
    const end = isEnd ? wholeLinesLength(block) : block.length;
    if (end > 0) isEnd = false;
    const start = position === 0 ? 0 : block.indexOf(NEWLINE) + 1;
    if (start > 0 || position === 0) {
      if (end > start) yield decoder.decode(block.subarray(start, end));
      rest = block.slice(0, Math.min(start, end));
    } else {
      rest = block;
    }
  }
}

/** The whole lines after `from`, in parts; returns where they end. */
export function* partsForward(path: string, from: number): Generator<string, number> {
  using file = Deno.openSync(path);
  const size = file.statSync().size;
  const decoder = new TextDecoder();
  let position = from;
  for (let length = BLOCK_BYTES; position < size;) {
    const block = new Uint8Array(Math.min(length, size - position));
    readAt(file, position, block);
    const end = wholeLinesLength(block);
    if (end > 0) {
      yield decoder.decode(block.subarray(0, end));
      position += end;
      length = BLOCK_BYTES;
    } else if (block.length < length) {
      break;
    } else {
      length *= 2;
    }
  }
  return position;
}

function readAt(file: Deno.FsFile, position: number, into: Uint8Array): void {
  file.seekSync(position, Deno.SeekMode.Start);
  let read = 0;
  while (read < into.length) {
    const count = file.readSync(into.subarray(read));
    // Somebody cut the file: what is missing reads as an unfinished line.
    if (count === null) break;
    read += count;
  }
}
