/** Sets the clock of this thread by what a file says; timers run on, as they do when a machine's clock is set. */
import { SHIFT_FILE } from "./shift.ts";

const LOOK_MS = 20;
const RealDate = Date;
let shiftMs = 0;

globalThis.Date = class extends RealDate {
  constructor(...values: unknown[]) {
    super(...(values.length === 0 ? [RealDate.now() + shiftMs] : values) as [number]);
  }

  static override now(): number {
    return RealDate.now() + shiftMs;
  }
} as DateConstructor;

const file = Deno.env.get(SHIFT_FILE);
if (file === undefined) throw new Error(`${SHIFT_FILE} is not set`);
Deno.unrefTimer(setInterval(() => shiftMs = Number(Deno.readTextFileSync(file)), LOOK_MS));
