/**
 * Notices that the content of the configuration file has changed. It listens to the file's folder, because
 * editors and Kubernetes put a new file (or a new link) in the place of the old one; and it looks at the file
 * itself now and then, because a folder can be replaced as a whole, a link can lead to a file elsewhere, and
 * network and container file systems may send no events at all.
 */
import { dirname, resolve } from "node:path";
import { readConfigText } from "./source_file.ts";

export interface WatchOptions {
  /** Quiet time after an event before the file is read; a file is not read while it is being written. */
  debounceMs?: number;
  /** How often the file is looked at without an event. */
  pollMs?: number;
  /** The text that is in use; without it, the text at the time of the call. */
  initialText?: string;
  /** Aborting it is the same as `close`. */
  signal?: AbortSignal;
}

export interface ConfigWatch {
  /** Resolves when the watch has ended and holds nothing any more; rejects if `onChange` threw. */
  readonly finished: Promise<void>;
  close(): void;
}

/**
 * Calls `onChange` after the content of the file has become another one than at the last call (or at the
 * start), also when the file has gone, cannot be read any more, or is back. It is not called again before the
 * promise it returns has settled; what changes meanwhile is noticed afterwards.
 */
export function watchConfig(
  path: string,
  onChange: () => void | Promise<void>,
  options: WatchOptions = {},
): ConfigWatch {
  const watch = new Watch(resolve(path), onChange, options.debounceMs ?? 200, options.pollMs ?? 2000);
  const close = () => watch.close();
  options.signal?.addEventListener("abort", close, { once: true });
  if (options.signal?.aborted) close();
  const finished = watch.run(options.initialText)
    .finally(() => options.signal?.removeEventListener("abort", close));
  return { finished, close };
}

/** Even where events never cease, the file is read after so many times the quiet time. */
const MAX_QUIET_ROUNDS = 10;

const FAILURE = "failure ";

class Watch {
  readonly #path: string;
  readonly #onChange: () => void | Promise<void>;
  readonly #debounceMs: number;
  readonly #pollMs: number;
  #closed = false;
  /** Something may have changed since the file was last read. */
  #touched = false;
  #pause: { end: () => void; endedByEvents: boolean } | null = null;
  #listener: { watcher: Deno.FsWatcher; folder: string; pump: Promise<void> } | null = null;
  /** What the file looked like from outside when it was last looked at. */
  #appearance = "";

  constructor(path: string, onChange: () => void | Promise<void>, debounceMs: number, pollMs: number) {
    this.#path = path;
    this.#onChange = onChange;
    this.#debounceMs = debounceMs;
    this.#pollMs = pollMs;
    // Here and not in `run`, so that nothing that happens after the call is missed.
    this.#listen();
    this.#look();
    this.#touched = false;
  }

  close(): void {
    this.#closed = true;
    this.#pause?.end();
  }

  async run(initialText: string | undefined): Promise<void> {
    try {
      let known = initialText === undefined ? await this.#content() : `text ${initialText}`;
      // The file may have changed between its loading and this call.
      if (initialText !== undefined) this.#touched = true;
      while (!this.#closed) {
        if (!this.#touched) await this.#wait(this.#pollMs, true);
        this.#listen();
        this.#look();
        // What could not be read may be readable now without looking any different: descriptors had run out.
        if (known.startsWith(FAILURE)) this.#touched = true;
        if (this.#closed || !this.#touched) continue;
        await this.#settle();
        if (this.#closed) return;
        const content = await this.#content();
        if (content === known) continue;
        known = content;
        await this.#onChange();
      }
    } finally {
      await this.#stopListening();
    }
  }

  /** Waits until nothing has happened for the quiet time. */
  async #settle(): Promise<void> {
    for (let round = 0; this.#touched && round < MAX_QUIET_ROUNDS && !this.#closed; round++) {
      this.#touched = false;
      await this.#wait(this.#debounceMs, false);
    }
    this.#touched = false;
  }

  async #content(): Promise<string> {
    const file = await readConfigText(this.#path);
    return file.ok ? `text ${file.text}` : FAILURE + file.message;
  }

  #wait(milliseconds: number, endedByEvents: boolean): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((done) => {
      const end = () => {
        clearTimeout(timer);
        this.#pause = null;
        done();
      };
      const timer = setTimeout(end, milliseconds);
      this.#pause = { end, endedByEvents };
    });
  }

  #touch(): void {
    this.#touched = true;
    if (this.#pause?.endedByEvents) this.#pause.end();
  }

  /** Listens to the folder that has the file's path now; a watch stays with a folder that is moved away. */
  #listen(): void {
    const path = dirname(this.#path);
    const folder = describe(path, (info) => `${info.dev}:${info.ino}`);
    if (this.#listener?.folder === folder) return;
    if (this.#listener !== null) {
      this.#listener.watcher.close();
      this.#listener = null;
      this.#touched = true;
    }
    const watcher = openWatcher(path);
    if (watcher !== null) this.#listener = { watcher, folder, pump: this.#pump(watcher) };
  }

  async #pump(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const event of watcher) {
        // Deno has a kind of event for mere reading; our own must not set us off.
        if (event.kind !== "access") this.#touch();
      }
    } catch (_error) {
      // Whatever broke the watch, the next look at the file opens a new one.
      if (this.#listener?.watcher === watcher) this.#listener = null;
    }
  }

  #look(): void {
    const appearance = describe(
      this.#path,
      (info) => `${info.dev}:${info.ino}:${info.size}:${info.mtime?.getTime()}`,
    );
    if (appearance !== this.#appearance) this.#touched = true;
    this.#appearance = appearance;
  }

  async #stopListening(): Promise<void> {
    const listener = this.#listener;
    this.#listener = null;
    listener?.watcher.close();
    await listener?.pump;
  }
}

/** Null where there is no such folder, or no more watches to be had (fs.inotify.max_user_watches). */
function openWatcher(folder: string): Deno.FsWatcher | null {
  try {
    return Deno.watchFs(folder, { recursive: false });
  } catch (_error) {
    return null;
  }
}

/** What `of` makes of the file that the path leads to, through links; why there is none, otherwise. */
function describe(path: string, of: (info: Deno.FileInfo) => string): string {
  try {
    return of(Deno.statSync(path));
  } catch (error) {
    return String(error);
  }
}
