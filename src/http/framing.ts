/** Where the body of a request ends, and whether that can be told in one way only (RFC 9112 section 6.3). */

/** The two fields that say it, as the runtime gives them: several of one name joined by commas. */
export interface FramingFields {
  contentLength: string | null;
  transferEncoding: string | null;
}

/**
 * What is wrong with the framing of a request, in words; null if nothing is. The runtime of Deno 2.6 passes on
 * what two readers understand differently (both fields together, chunked twice): all that follows on such a
 * connection may be the body of this request or the next one, so that it must be closed.
 */
export function framingProblem({ contentLength, transferEncoding }: FramingFields): string | null {
  if (transferEncoding !== null) {
    if (contentLength !== null) return "content-length and transfer-encoding are both there";
    if (transferEncoding.toLowerCase() !== "chunked") return "transfer-encoding is not chunked alone";
  } else if (contentLength !== null && !LENGTH.test(contentLength)) {
    return "content-length is not one whole number";
  }
  return null;
}

/** Up to what a double holds exactly; a client that means more means harm. */
const LENGTH = /^\d{1,15}$/;
