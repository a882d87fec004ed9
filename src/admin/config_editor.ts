/**
 * Changes of the configuration file through the admin API: checked whole, written whole, taken into use by the
 * ordinary reload, undone if that refuses them. One at a time.
 */
import { createHmac, randomBytes } from "node:crypto";
import { checkConfig } from "../config/check.ts";
import type { LoadOptions } from "../config/load.ts";
import type { Config } from "../config/model.ts";
import { formatPath, type Problem } from "../config/problem.ts";
import { type Fingerprint, maskSecrets, unmaskSecrets, variableUses } from "../config/secret_text.ts";
import { MAX_CONFIG_BYTES, readConfigText } from "../config/source_file.ts";
import type { TextEdits } from "../config/text_edits.ts";
import type { ConfigApplied, ConfigChecked, ConfigProblem, ConfigVersion, DiffLine, Role } from "./api.ts";
import { ConfigHistory } from "./config_history.ts";
import { AdminFailure } from "./failure.ts";
import { lineDiff } from "./line_diff.ts";
import { replaceFile } from "./replace_file.ts";

export interface ConfigEditorSource {
  path: string;
  load: LoadOptions;
  /** The configuration in use, and the text it was made of. */
  config(): Config;
  text(): string;
  generation(): number;
  reload(occasion: string): Promise<{ ok: true; generation: number } | { ok: false; problems: string[] }>;
}

/** Who changes the configuration. */
export interface Editor {
  role: Role;
  name: string;
}

interface Checked {
  text: string;
  warnings: ConfigProblem[];
}

const MASK_HINT =
  "found a masked value that is not the one of this key as it was read, wanted that one or the value itself";

export class ConfigEditor {
  readonly #source: ConfigEditorSource;
  /** Of this process, so that fingerprints and etags tell nothing to who has a list of likely secrets. */
  readonly #key = randomBytes(32);
  #turn: Promise<unknown> = Promise.resolve();

  constructor(source: ConfigEditorSource) {
    this.#source = source;
  }

  /** The file with its secrets masked; the text in use where the file cannot be read or is not TOML. */
  async read(): Promise<{ text: string; etag: string; source: "file" | "running" }> {
    const text = await this.#fileText();
    const masked = text === null ? null : await maskSecrets(text, this.#fingerprint);
    if (masked !== null) return { text: masked, etag: this.#etag(text), source: "file" };
    const running = await maskSecrets(this.#source.text(), this.#fingerprint);
    if (running === null) throw notMaskable();
    return { text: running, etag: this.#etag(text), source: "running" };
  }

  /** Checks a text as `apply` would, and changes nothing. */
  check(text: string, etag: string | null, editor: Editor): Promise<ConfigChecked> {
    return this.#inTurn(async () => {
      const current = await this.#current(etag);
      const checked = await this.#check(text, current, editor);
      return {
        valid: true,
        warnings: checked.warnings,
        diff: await this.#diff(await this.#shown(current), checked.text),
      };
    });
  }

  /** Puts a text in the place of the file and into use. @param etag null: whatever the file is now */
  apply(text: string, etag: string | null, editor: Editor): Promise<ConfigApplied> {
    return this.#inTurn(async () => {
      const current = await this.#current(etag);
      const checked = await this.#check(text, current, editor);
      return await this.#replace(current, checked, editor, "edit");
    });
  }

  /** Brings an earlier version back, secrets included. */
  rollback(id: string, editor: Editor): Promise<ConfigApplied> {
    return this.#inTurn(async () => {
      const current = await this.#current(null);
      const history = await this.#history();
      const text = await history.read(id);
      if (text === null) throw noVersion(id);
      const checked = await this.#check(text, current, editor, false);
      return await this.#replace(current, checked, editor, "rollback");
    });
  }

  async versions(): Promise<ConfigVersion[]> {
    return (await this.#history()).list();
  }

  /** An earlier version with its secrets masked. */
  async version(id: string): Promise<string> {
    const masked = await maskSecrets(await this.#versionText(id), this.#fingerprint);
    if (masked === null) throw notMaskable();
    return masked;
  }

  /** From an earlier version to the file as it is. */
  async versionDiff(id: string): Promise<DiffLine[]> {
    const current = await this.#fileText() ?? this.#source.text();
    return await this.#diff(await this.#versionText(id), await this.#shown(current));
  }

  async #versionText(id: string): Promise<string> {
    const text = await (await this.#history()).read(id);
    if (text === null) throw noVersion(id);
    return text;
  }

  async #check(text: string, current: string, editor: Editor, masked = true): Promise<Checked> {
    const shown = await this.#shown(current);
    const unmasked = masked ? await unmaskSecrets(text, shown, this.#fingerprint) : null;
    if (unmasked !== null && unmasked.unknown.length > 0) {
      throw invalid(unmasked.unknown.map(({ offset, path }) => ({
        severity: "error",
        ...unmasked.edits.positionOf(offset),
        key: formatPath(path),
        message: MASK_HINT,
      })));
    }
    const full = unmasked?.edits.text() ?? text;
    if (new TextEncoder().encode(full).length > MAX_CONFIG_BYTES) {
      throw new AdminFailure(
        "too_large",
        `the configuration is larger than ${MAX_CONFIG_BYTES} bytes, which is the most it may have`,
      );
    }
    const { path, load } = this.#source;
    const result = await checkConfig(full, { ...load, path });
    const say = (problem: Problem) => problemSent(problem, path, unmasked?.edits ?? null);
    if (!result.ok) throw invalid([...result.problems, ...result.warnings].map(say));
    await this.#requireRole(editor, result.config, shown, full);
    return { text: full, warnings: result.warnings.map(say) };
  }

  /**
   * Some settings run programs on this machine or read its environment. Who may edit the configuration must not
   * get from there to the admin's token, or beyond Dispa.
   */
  async #requireRole(editor: Editor, config: Config, currentText: string, text: string): Promise<void> {
    if (editor.role === "admin") return;
    const programs = (of: Config) =>
      JSON.stringify(of.plugins.plugins.filter(({ type }) => ["command", "wasm", "script"].includes(type)));
    if (programs(config) !== programs(this.#source.config())) {
      throw new AdminFailure(
        "forbidden",
        `your role is ${editor.role}, wanted is admin: plugins of the types command, wasm and script run programs`,
      );
    }
    const before = await variableUses(currentText);
    for (const use of await variableUses(text)) {
      if (!before.has(use)) {
        throw new AdminFailure(
          "forbidden",
          `your role is ${editor.role}, wanted is admin: a value with \${…} reads the environment of Dispa, ` +
            "and one was added or changed",
        );
      }
    }
  }

  async #replace(
    current: string,
    { text, warnings }: Checked,
    editor: Editor,
    through: ConfigVersion["replaced_through"],
  ): Promise<ConfigApplied> {
    const { generation, reload } = this.#source;
    if (text === current && text === this.#source.text()) {
      return { generation: generation(), etag: this.#etag(text), history_id: null, warnings };
    }
    const file = await this.#realPath();
    let historyId: string;
    try {
      historyId = await new ConfigHistory(file).add(current, {
        replaced_by: editor.name,
        replaced_through: through,
      });
      await replaceFile(file, text);
    } catch (fault) {
      throw unwritable(file, fault);
    }
    const result = await reload(`${through} by ${editor.name}`);
    if (result.ok) {
      return { generation: result.generation, etag: this.#etag(text), history_id: historyId, warnings };
    }
    // It reads well and still cannot be used, as an address that is taken.
    await replaceFile(file, current);
    await reload("the file put back");
    throw invalid(
      result.problems.map((message) => ({ severity: "error", line: null, column: null, key: "", message })),
    );
  }

  async #diff(before: string, after: string): Promise<DiffLine[]> {
    const masked = await Promise.all([before, after].map((text) => maskSecrets(text, this.#fingerprint)));
    const [from, to] = masked;
    if (from === null || to === null) throw notMaskable();
    return lineDiff(from, to);
  }

  /** The file's text; throws `AdminFailure` if it is another one than the caller has seen. */
  async #current(etag: string | null): Promise<string> {
    const text = await this.#fileText();
    if (etag !== null && etag !== this.#etag(text)) {
      throw new AdminFailure(
        "stale",
        "the configuration file has changed since it was read: read it again and repeat the change",
      );
    }
    return text ?? this.#source.text();
  }

  /** What `read` shows where the file holds this text. */
  async #shown(text: string): Promise<string> {
    return await maskSecrets(text, this.#fingerprint) === null ? this.#source.text() : text;
  }

  async #fileText(): Promise<string | null> {
    const file = await readConfigText(this.#source.path);
    return file.ok ? file.text : null;
  }

  async #history(): Promise<ConfigHistory> {
    return new ConfigHistory(await this.#realPath());
  }

  /** A link stays one: what it leads to is replaced. */
  async #realPath(): Promise<string> {
    try {
      return await Deno.realPath(this.#source.path);
    } catch (fault) {
      if (fault instanceof Deno.errors.NotFound) return this.#source.path;
      throw fault;
    }
  }

  readonly #fingerprint: Fingerprint = (secret) => this.#hash("secret", secret).slice(0, 8);

  #etag(text: string | null): string {
    return `"${this.#hash("file", text ?? "").slice(0, 32)}"`;
  }

  #hash(use: string, text: string): string {
    return createHmac("sha256", this.#key).update(`${use}\n${text}`).digest("hex");
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

/** In the positions of the text that was sent, which has masks where the checked one has secrets. */
function problemSent(problem: Problem, path: string, edits: TextEdits | null): ConfigProblem {
  const { severity, line, column, key, message, source } = problem;
  if (source !== path) {
    return { severity, line: null, column: null, key, message: `${source} ${key}: ${message}` };
  }
  const position = edits === null || line === null || column === null
    ? { line, column }
    : edits.originalPosition(line, column);
  return { severity, ...position, key, message };
}

function invalid(problems: ConfigProblem[]): AdminFailure {
  const errors = problems.filter(({ severity }) => severity === "error").length;
  return new AdminFailure(
    "invalid_config",
    `the configuration has ${errors} ${errors === 1 ? "error" : "errors"} and is not used`,
    { problems },
  );
}

function noVersion(id: string): AdminFailure {
  return new AdminFailure(
    "not_found",
    `there is no version ${JSON.stringify(id.slice(0, 100))} in the history`,
  );
}

function notMaskable(): AdminFailure {
  return new AdminFailure(
    "conflict",
    "the text is not valid TOML, so that its secrets cannot be told from the rest: look at the file itself",
  );
}

function unwritable(file: string, fault: unknown): AdminFailure {
  const reason = fault instanceof Error ? fault.message : String(fault);
  return new AdminFailure(
    "conflict",
    `cannot write the configuration file ${file}: ${reason}; its folder must be writable for Dispa, ` +
      "and in a container the folder be mounted rather than the file",
  );
}
