/** When the process itself lacks what a connection takes: that says nothing of who is at the other end. */

/** Linux: ENOMEM, ENFILE, EMFILE, ENOBUFS. The messages of the runtime end in the number, `fetch`'s in a cause. */
const SHORTAGE = /\(os error (?:12|23|24|105)\)/;
/** What a name server says comes without a number; this is what kept the resolver from asking (EAI_SYSTEM). */
const NOT_ASKED = /dns error: .*\(os error \d+\)/;

/** Whether an attempt to connect failed for want of descriptors or memory of our own. */
export function isShortage(fault: unknown): boolean {
  for (let error = fault, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    if (SHORTAGE.test(error.message) || NOT_ASKED.test(error.message)) return true;
  }
  return false;
}
