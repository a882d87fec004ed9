/** For tests that need a program or a right that a machine may lack: they are skipped, and say so. */

/** `ignore` is true, and the reason printed, where none of the `paths` of the program exists. */
export function requires(program: string, ...paths: string[]): { ignore: boolean } {
  return requiresThat(paths.some(exists), `${program} is not at ${paths.join(" or ")}`);
}

/** `ignore` is true, and the reason printed, where the condition does not hold. */
export function requiresThat(holds: boolean, reason: string): { ignore: boolean } {
  if (!holds) console.log(`SKIP ${reason}`);
  return { ignore: !holds };
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
