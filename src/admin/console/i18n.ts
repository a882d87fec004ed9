/** Messages in the language that was chosen. What the server says is shown as it says it. */
import { ENGLISH, type MessageKey } from "./messages_en.ts";
import { CHINESE } from "./messages_zh.ts";
import type { Language } from "./preferences.ts";

export type { MessageKey };
export type Values = Record<string, string | number>;

/** `{name}` in a message is replaced by the value of that name. */
export function translate(language: Language, key: MessageKey, values: Values = {}): string {
  const message = (language === "zh" ? CHINESE : ENGLISH)[key];
  return message.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}
