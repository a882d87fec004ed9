/** Keys that plugins running in threads of their own have in common: what `field` takes. */
import { type FieldNotes, wholeNumber } from "../fields.ts";

export function callLimit() {
  const notes: FieldNotes = {
    defaultNote: "bounded by the threads and their queues alone",
    example: 16,
  };
  return [
    wholeNumber(1, 1024).optional(),
    "Calls that may be under way at once in the whole process, those that wait for a thread included. What comes on " +
    "top fails at once, with the kind concurrency.",
    notes,
  ] as const;
}

export function threadCount() {
  return [
    wholeNumber(1, 64).prefault(4),
    "Threads of this plugin for each proxy thread. It begins with one; another is started when calls have to wait. " +
    "Each takes about 10 MB and runs one call at a time.",
  ] as const;
}
