/** The Deno that runs the program under test; in an executable it may be older than the one that runs the tests. */

function versionText(): string {
  const binary = Deno.env.get("DISPA_BIN");
  if (binary === undefined) return Deno.version.deno;
  const { stdout } = new Deno.Command(binary, { args: ["--version"] }).outputSync();
  const found = /\(deno (\S+),/.exec(new TextDecoder().decode(stdout));
  if (found === null) throw new Error(`${binary} --version does not name its runtime`);
  return found[1];
}

/** Whether the program under test runs on Deno `major.minor` or later. */
export function runsOn(major: number, minor: number): boolean {
  const [ownMajor, ownMinor] = versionText().split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
