/** A table that turns into a list of cards where the window is narrow. */
import type { ComponentChildren } from "preact";

export interface Column<Row> {
  key: string;
  title: string;
  /** Numbers are set to the right. */
  numeric?: boolean;
  cell(row: Row): ComponentChildren;
}

export function Table<Row>(
  { caption, columns, rows, rowKey, dense }: {
    /** Said by screen readers. */
    caption: string;
    columns: readonly Column<Row>[];
    rows: readonly Row[];
    rowKey(row: Row): string;
    dense?: boolean;
  },
) {
  return (
    <div class={`table-wrap${dense === true ? " dense" : ""}`}>
      <table>
        <caption class="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ key, title, numeric }) => (
              <th key={key} scope="col" class={`col-${key}${numeric === true ? " numeric" : ""}`}>{title}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} data-row={rowKey(row)}>
              {columns.map(({ key, title, numeric, cell }) => (
                <td
                  key={key}
                  data-label={title}
                  class={`col-${key}${numeric === true ? " numeric" : ""}`}
                >
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
