/** The header actions of a rule: remove, then set, then add. */
import type { HeaderActions } from "../config/model.ts";
import { addField, type FlatHeaders, removeField, setField } from "../http/flat_headers.ts";

export function applyHeaderActions(headers: FlatHeaders, { remove, set, add }: HeaderActions): void {
  for (const name of remove) removeField(headers, name);
  for (const { name, value } of set) setField(headers, name, value);
  for (const { name, value } of add) addField(headers, name, value);
}
