/** What the browser remembers of its user: language and theme. */
import { effect, type Signal, signal } from "@preact/signals";

export const LANGUAGES = ["en", "zh"] as const;
export type Language = typeof LANGUAGES[number];

/** `auto` follows the system. */
export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = typeof THEMES[number];

export interface Preferences {
  language: Signal<Language>;
  theme: Signal<Theme>;
}

export function loadPreferences(): Preferences {
  const preferred = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
  const language = signal(remembered("dispa.language", LANGUAGES, preferred));
  const theme = signal(remembered("dispa.theme", THEMES, "auto"));
  effect(() => {
    document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en";
    remember("dispa.language", language.value);
  });
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    remember("dispa.theme", theme.value);
  });
  return { language, theme };
}

function remembered<Value extends string>(key: string, allowed: readonly Value[], fallback: Value): Value {
  const stored = storage()?.getItem(key);
  return allowed.find((value) => value === stored) ?? fallback;
}

function remember(key: string, value: string): void {
  storage()?.setItem(key, value);
}

/** Null where the browser blocks storage: then nothing is remembered. */
function storage(): Storage | null {
  try {
    return globalThis.localStorage;
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}
