/** A disk of a test's own, which can be full. */
import { join } from "node:path";
import { requiresThat } from "./skip.ts";

/** For `Deno.test`: ignored, with a message, where nothing may be mounted. */
export function requiresMounts(): { ignore: boolean } {
  return requiresThat(canMount(), "a tmpfs cannot be mounted here, run as root");
}

function canMount(): boolean {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  try {
    using _disk = new SmallDisk();
    return true;
  } catch (fault) {
    if (fault instanceof CannotMount) return false;
    throw fault;
  }
}

class CannotMount extends Error {
  override name = "CannotMount";
}

export class SmallDisk implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "dispa-disk-" });
  readonly #filler = join(this.folder, "filler");

  constructor() {
    if (run("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", this.folder])) return;
    Deno.removeSync(this.folder);
    throw new CannotMount(`cannot mount a tmpfs at ${this.folder}`);
  }

  /** Takes all the room there is. */
  fill(): void {
    using file = Deno.openSync(this.#filler, { write: true, create: true });
    for (const bytes of [new Uint8Array(1024 * 1024), new Uint8Array(1024)]) {
      try {
        for (;;) file.writeSync(bytes);
      } catch (fault) {
        if (!(fault instanceof Error && /os error 28/.test(fault.message))) throw fault;
      }
    }
  }

  /** Gives it back. */
  clear(): void {
    Deno.removeSync(this.#filler);
  }

  [Symbol.dispose](): void {
    // Lazy: a program that a failed test has just killed may still be on its way out.
    if (!run("umount", ["-l", this.folder])) throw new Error(`cannot unmount ${this.folder}`);
    Deno.removeSync(this.folder);
  }
}

function run(program: string, args: string[]): boolean {
  return new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" }).outputSync()
    .success;
}
