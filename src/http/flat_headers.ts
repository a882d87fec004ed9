/** Header fields in the form that every part of Dispa passes on, and the few things one does with them. */

/** Header fields as name, value, name, value …: names in lower case, values as received, order kept. */
export type FlatHeaders = string[];

/** The first value of a field, or null. @param name in lower case */
export function getField(headers: FlatHeaders, name: string): string | null {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1];
  return null;
}

/** Every value of a field, in order. @param name in lower case */
export function fieldValues(headers: FlatHeaders, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) values.push(headers[i + 1]);
  return values;
}

/** Gives the field one value, in the place of its first one. @param name in lower case */
export function setField(headers: FlatHeaders, name: string, value: string): void {
  let kept = 0;
  let found = false;
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === name) {
      if (found) continue;
      found = true;
      headers[kept] = name;
      headers[kept + 1] = value;
    } else if (kept !== i) {
      headers[kept] = headers[i];
      headers[kept + 1] = headers[i + 1];
    }
    kept += 2;
  }
  headers.length = kept;
  if (!found) headers.push(name, value);
}

/** Adds a value and keeps those that are there. @param name in lower case */
export function addField(headers: FlatHeaders, name: string, value: string): void {
  headers.push(name, value);
}

/** Takes every value of the field out. @param name in lower case */
export function removeField(headers: FlatHeaders, name: string): void {
  let kept = 0;
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === name) continue;
    if (kept !== i) {
      headers[kept] = headers[i];
      headers[kept + 1] = headers[i + 1];
    }
    kept += 2;
  }
  headers.length = kept;
}

/** RFC 9110 section 5.6.2: a token. */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 section 5.5: visible bytes, spaces and tabs; nothing that could end a line. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Whether `name` may be the name of a field, in any case. */
export function isFieldName(name: string): boolean {
  return FIELD_NAME.test(name);
}

/** Whether `value` may be the value of a field: one character a byte, no control bytes, no spaces around it. */
export function isFieldValue(value: string): boolean {
  return FIELD_VALUE.test(value) && value.trim() === value;
}

/**
 * Fields that no plugin, rule or setting may set or remove on a message that passes through: they are about
 * this connection, or say where the body ends; the transport and the listener write them.
 */
const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Whether only the proxy itself may write the field. @param name in lower case */
export function isFramingField(name: string): boolean {
  return FRAMING.has(name);
}
