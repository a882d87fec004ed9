/** What a client received, taken apart. */
import { ANSWERED_200 } from "./upstream.ts";

export interface Answer {
  status: number;
  body: string;
}

/**
 * The final answers in `received`; what is cut off at the end is left out.
 * @param methods of the requests that they answer, as far as known: an answer to HEAD has no body
 * @throws Error for bytes that are no answer
 */
export function answersIn(received: string, methods: string[]): Answer[] {
  const answers: Answer[] = [];
  for (let at = 0; at < received.length;) {
    const end = received.indexOf("\r\n\r\n", at);
    if (end === -1) return answers;
    const head = received.slice(at, end);
    const status = Number(/^HTTP\/1\.[01] ([1-5]\d\d) /.exec(head)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no answer at ${at} of ${JSON.stringify(received)}`);
    at = end + 4;
    if (status < 200) continue;
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
    const isHead = methods[answers.length] === "HEAD";
    if (!isHead && at + length > received.length) return answers;
    answers.push({ status, body: isHead ? ANSWERED_200 : received.slice(at, at + length) });
    if (!isHead) at += length;
  }
  return answers;
}
