/** Replacements in a text, and where a position of the result stood before them. */

interface Edit {
  start: number;
  end: number;
  text: string;
}

export class TextEdits {
  readonly #before: string;
  readonly #edits: Edit[] = [];

  constructor(before: string) {
    this.#before = before;
  }

  /** Ranges must not overlap. Offsets are those of the text before all edits. */
  replace(start: number, end: number, text: string): void {
    this.#edits.push({ start, end, text });
  }

  text(): string {
    let result = "";
    let at = 0;
    for (const { start, end, text } of this.#sorted()) {
      result += this.#before.slice(at, start) + text;
      at = end;
    }
    return result + this.#before.slice(at);
  }

  /** Line and column (from 1) before the edits of a line and column after them. */
  originalPosition(line: number, column: number): { line: number; column: number } {
    return positionAt(this.#before, this.#originalOffset(offsetAt(this.text(), line, column)));
  }

  positionOf(offset: number): { line: number; column: number } {
    return positionAt(this.#before, offset);
  }

  #originalOffset(offset: number): number {
    let shift = 0;
    for (const { start, end, text } of this.#sorted()) {
      if (offset < start + shift) break;
      // Inside a replacement there is only its beginning to point at.
      if (offset < start + shift + text.length) return start;
      shift += text.length - (end - start);
    }
    return offset - shift;
  }

  #sorted(): Edit[] {
    return this.#edits.toSorted((a, b) => a.start - b.start);
  }
}

function offsetAt(text: string, line: number, column: number): number {
  let start = 0;
  for (let current = 1; current < line; current++) {
    const newline = text.indexOf("\n", start);
    if (newline === -1) break;
    start = newline + 1;
  }
  return Math.min(start + column - 1, text.length);
}

function positionAt(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: offset - lineStart + 1 };
}
