/** The lines a process prints, to be waited for. */

export class Lines {
  readonly all: string[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #done: Promise<void>;
  #ended = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#done = this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.all.push(...lines);
      this.#wake();
    }
    if (rest !== "") this.all.push(rest);
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Resolves when the stream has ended. */
  get done(): Promise<void> {
    return this.#done;
  }

  get text(): string {
    return this.all.join("\n");
  }

  /**
   * The first line from index `from` on that matches.
   * @throws Error with all lines if the stream ends or `timeoutMs` pass before there is one
   */
  async waitFor(pattern: RegExp, from = 0, timeoutMs = 20_000): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.all.slice(from).find((line) => pattern.test(line));
      if (found !== undefined) return found;
      const leftMs = deadline - Date.now();
      if (this.#ended || leftMs <= 0) {
        throw new Error(
          `no line matches ${pattern}${this.#ended ? ", the process has ended" : ""}:\n${this.text}`,
        );
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      const timer = setTimeout(resolve, leftMs);
      await promise;
      clearTimeout(timer);
      this.#waiting.delete(resolve);
    }
  }
}
