/** Programs that see another file system than the rest of the machine: Linux's mount namespaces. */
import { requiresThat } from "./skip.ts";

const UNSHARE = [
  "unshare",
  // Who is not root may be it in a namespace of his own, where the kernel lets him.
  ...(Deno.uid() === 0 ? [] : ["--user", "--map-root-user"]),
  ...["--mount", "--propagation", "private", "--"],
];

/** A command under which a program runs after these lines of shell, which may mount what they like. */
export function mounting(lines: string): string[] {
  return [...UNSHARE, "sh", "-ec", `${lines}\nexec "$0" "$@"`];
}

/** For `Deno.test`: ignored, with a message, where there may be no namespaces. */
export function requiresNamespaces(): { ignore: boolean } {
  const [program, ...args] = [...mounting("mount -t tmpfs none /mnt"), "true"];
  let reason: string;
  try {
    const { success, stderr } = new Deno.Command(program, { args, stderr: "piped" }).outputSync();
    if (success) return { ignore: false };
    reason = new TextDecoder().decode(stderr).trim();
  } catch (fault) {
    if (!(fault instanceof Deno.errors.NotFound)) throw fault;
    reason = `${program} is not installed`;
  }
  return requiresThat(false, `a mount namespace cannot be made, run as root: ${reason}`);
}
