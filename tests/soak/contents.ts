/** What targets answer with, so that clients know every byte of it. */
import { createHash } from "node:crypto";
import { Seeded } from "../support/seeded.ts";

/** Large bodies there are; `/large/<number>` gets the one with that number modulo this. */
const LARGE_BODIES = 4;
const LARGE_BYTES = 300_000;

const large = Array.from(
  { length: LARGE_BODIES },
  (_, index) => new Seeded(index + 1).bytes(LARGE_BYTES + index),
);

export function smallBody(number: number): string {
  return `small ${number} ${"x".repeat(number % 100)}\n`;
}

export function largeBody(number: number): Uint8Array<ArrayBuffer> {
  return large[number % LARGE_BODIES];
}

export function eventText(number: number, event: number): string {
  return `id: ${event}\ndata: ${number}\n\n`;
}

export function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What `/echo` answers a body with. */
export function receipt(body: Uint8Array): string {
  return `${body.length} ${digest(body)}\n`;
}
