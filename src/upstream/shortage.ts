/** When the process itself lacks what a connection takes: that says nothing of who is at the other end. */

/** Linux: ENOMEM, ENFILE, EMFILE, ENOBUFS. The messages of the runtime end in the number, `fetch`'s in a cause. */
const SHORTAGE = /\(os error (?:12|23|24|105)\)/;

/** Whether an attempt to connect failed for want of descriptors or memory of our own. */
export function isShortage(fault: unknown): boolean {
  for (let error = fault, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    if (SHORTAGE.test(error.message)) return true;
  }
  return false;
}
